package org.tlmedge.demo

import org.junit.Assert.assertEquals
import org.junit.Test
import org.robolectric.annotation.Config

/** The app with bundles for its three runtimes: TensorFlow Lite's and ExecuTorch's libraries are those of the APK (`tests/android/bionic.py`). */
class RuntimesTest : Screens() {
    @Test
    @Config(qualifiers = "w840dp-h700dp-xxhdpi")
    fun theRuntimesAnswerSideBySide() {
        val controller = launch()
        answered(controller.get(), "Striker scores twice as the champions come from behind to win the cup final", models = 4)
        val said = words(controller.get())
        for (runtime in listOf("onnx", "tflite", "executorch")) assertEquals(said, 1, Regex("agnews-committee\n$runtime · int8 ").findAll(said).count())
        assertEquals(said, 4, Regex("Sports, ").findAll(said).count())
        assertEquals(said, 3, Regex("3 of 3 members agree").findAll(said).count())
        screenshot(controller.get(), "runtimes")
        controller.pause().stop().destroy()
    }
}

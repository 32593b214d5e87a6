package org.tlmedge.engines

import org.junit.Assert.assertEquals
import org.junit.Test
import org.tlmedge.core.Answers
import org.tlmedge.core.EngineFactory

/**
 * The app's engines with the native libraries of the APK itself: those for x86-64, which the desktop's processor runs, on the desktop's C
 * library (`tests/android/bionic.py`).
 */
class AndroidLibrariesTest {
    private val engines = mapOf<String, EngineFactory>("onnx" to OnnxEngine, "tflite" to TfliteEngine, "executorch" to ExecutorchEngine)

    @Test
    fun answersAreThoseOfPython() = Answers.compare("android-answers.jsonl") { engines.getValue(it) }
}

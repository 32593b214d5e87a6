package org.tlmedge.engines

import java.io.File
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.tlmedge.core.Answers
import org.tlmedge.core.Bundle
import org.tlmedge.core.EngineFactory
import org.tlmedge.core.UserError
import org.tlmedge.core.Vectors

/**
 * The app's engines with the native libraries of the APK itself: those for x86-64, which the desktop's processor runs, on the desktop's C
 * library (`tests/android/bionic.py`).
 */
class AndroidLibrariesTest {
    @Test
    fun answersAreThoseOfPython() = Answers.compare("android-answers.jsonl") { engines.getValue(it) }

    /** So that the answers above also prove that TensorFlow Lite has every operator in the version that our files ask for. */
    @Test
    fun operatorsInAVersionThatTheLibraryLacksAreRefused() {
        val bundle = Bundle.open(File(checkNotNull(System.getProperty("newer"))))
        val error = assertThrows(UserError::class.java) { TfliteEngine.open(bundle, 1) }
        assertTrue(error.message, "can't load model.tflite" in error.message.orEmpty())
    }
}

/** On a device that refuses the native libraries, as one with 16 KB pages does those that were made for 4 KB. */
class RefusedLibrariesTest {
    @Test
    fun aRuntimeThatCanNotBeLoadedIsExplained() {
        val bundle = Bundle.open(File(Vectors.models, "agnews-committee/onnx-int8"))
        for (engine in engines.values) {
            repeat(2) {
                val error = assertThrows(UserError::class.java) { engine.open(bundle, 1) }
                assertTrue(error.message, "this device can't load the runtime" in error.message.orEmpty())
            }
        }
    }
}

private val engines = mapOf<String, EngineFactory>("onnx" to OnnxEngine, "tflite" to TfliteEngine, "executorch" to ExecutorchEngine)

package org.tlmedge.engines

import java.io.File
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite
import org.tlmedge.core.Answer
import org.tlmedge.core.Bundle
import org.tlmedge.core.Engine
import org.tlmedge.core.EngineFactory
import org.tlmedge.core.UserError
import org.tlmedge.core.Vote

/**
 * A model file of a bundle in TensorFlow Lite, now called LiteRT, on the CPU.
 *
 * The file has a signature a length, for one text each. A text is padded to the next length; the mask hides what is added.
 */
class TfliteEngine private constructor(private val interpreter: Interpreter) : Engine {
    override val runtime = "tflite"
    override val version: String = TensorFlowLite.runtimeVersion()

    /** The Java side doesn't tell whether XNNPACK took operators over; with our files 2.16.1 never did where it was watched. */
    override val provider = "CPU"

    /** Signatures by their length in tokens, ascending. */
    private val signatures = interpreter.signatureKeys
        .filter { interpreter.getSignatureInputs(it).toSet() == setOf("input_ids", "attention_mask") }
        .map { interpreter.getInputTensorFromSignature("input_ids", it).shape()[1] to it }
        .sortedBy { it.first }

    override fun run(tokenIds: IntArray): Answer {
        val (length, key) = signatures.find { it.first >= tokenIds.size }
            ?: throw UserError("a text of ${tokenIds.size} tokens: this file runs texts of at most ${signatures.lastOrNull()?.first ?: 0}")
        val ids = arrayOf(tokenIds.copyOf(length))
        val mask = arrayOf(IntArray(length) { if (it < tokenIds.size) 1 else 0 })
        val outputs = interpreter.getSignatureOutputs(key).associateWith { output(key, it) }
        try {
            interpreter.runSignature(mapOf("input_ids" to ids, "attention_mask" to mask), outputs, key)
        } catch (error: IllegalArgumentException) {
            throw UserError("TensorFlow Lite $version could not run the model: ${error.message}", error)
        }
        return answer(outputs)
    }

    /** An array that an output of that shape fits in: (1, labels) or (1, members, labels). */
    private fun output(key: String, name: String): Any {
        val shape = interpreter.getOutputTensorFromSignature(name, key).shape()
        return if (shape.size == 2) arrayOf(FloatArray(shape[1])) else arrayOf(Array(shape[1]) { FloatArray(shape[2]) })
    }

    private fun answer(outputs: Map<String, Any>): Answer {
        val logits = outputs["logits"]
        if (logits != null) {
            val row = (logits as Array<*>)[0] as FloatArray
            return Answer(Vote.softmax(row), listOf(row))
        }
        val members = (outputs.getValue("member_logits") as Array<*>)[0] as Array<*>
        return Answer((outputs.getValue("probabilities") as Array<*>)[0] as FloatArray, members.map { it as FloatArray })
    }

    override fun close() = interpreter.close()

    companion object : EngineFactory {
        override fun load(bundle: Bundle, file: File, threads: Int): Engine {
            try {
                val interpreter = Interpreter(file, Interpreter.Options().setNumThreads(threads))
                // Where a release applies delegates by itself, it does so here and nowhere else: running a signature doesn't.
                interpreter.allocateTensors()
                return TfliteEngine(interpreter)
            } catch (error: IllegalArgumentException) {
                throw UserError(
                    "TensorFlow Lite ${TensorFlowLite.runtimeVersion()} can't load ${file.name} of ${bundle.manifest.name}: ${error.message.orEmpty().lineSequence().first()}",
                    error,
                )
            }
        }
    }
}

package org.tlmedge.engines

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import java.io.File
import org.tlmedge.core.Answer
import org.tlmedge.core.Bundle
import org.tlmedge.core.Engine
import org.tlmedge.core.EngineFactory
import org.tlmedge.core.UserError
import org.tlmedge.core.Vote

/** A model file of a bundle in ONNX Runtime on the CPU; the same class on a phone and on a desktop JVM. */
class OnnxEngine private constructor(private val environment: OrtEnvironment, private val session: OrtSession) : Engine {
    override val runtime = "onnxruntime"
    override val version: String = environment.version
    override val provider = "CPU"

    override fun run(tokenIds: IntArray): Answer {
        val ids = LongArray(tokenIds.size) { tokenIds[it].toLong() }
        val mask = LongArray(tokenIds.size) { 1 }
        try {
            OnnxTensor.createTensor(environment, arrayOf(ids)).use { idTensor ->
                OnnxTensor.createTensor(environment, arrayOf(mask)).use { maskTensor ->
                    session.run(mapOf("input_ids" to idTensor, "attention_mask" to maskTensor)).use { return answer(it) }
                }
            }
        } catch (error: OrtException) {
            throw UserError("ONNX Runtime $version could not run the model: ${firstLine(error)}", error)
        }
    }

    private fun answer(result: OrtSession.Result): Answer {
        val logits = result.get("logits")
        if (logits.isPresent) {
            val row = rows(logits.get().value)[0]
            return Answer(Vote.softmax(row), listOf(row))
        }
        val members = result.get("member_logits").get().value as Array<*>
        return Answer(rows(result.get("probabilities").get().value)[0], rows(members[0]))
    }

    private fun rows(value: Any?): List<FloatArray> = (value as Array<*>).map { it as FloatArray }

    override fun close() = session.close()

    companion object : EngineFactory {
        override fun load(bundle: Bundle, file: File, threads: Int): Engine {
            val environment = OrtEnvironment.getEnvironment()
            try {
                OrtSession.SessionOptions().use { options ->
                    options.setIntraOpNumThreads(threads)
                    options.setInterOpNumThreads(1)
                    options.setExecutionMode(OrtSession.SessionOptions.ExecutionMode.SEQUENTIAL)
                    return OnnxEngine(environment, environment.createSession(file.path, options))
                }
            } catch (error: OrtException) {
                throw UserError("ONNX Runtime ${environment.version} can't load ${file.name} of ${bundle.manifest.name}: ${firstLine(error)}", error)
            }
        }

        private fun firstLine(error: OrtException): String = error.message.orEmpty().lineSequence().first()
    }
}

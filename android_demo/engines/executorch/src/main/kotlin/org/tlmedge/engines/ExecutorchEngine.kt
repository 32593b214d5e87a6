package org.tlmedge.engines

import java.io.File
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import org.tlmedge.core.Answer
import org.tlmedge.core.Bundle
import org.tlmedge.core.Engine
import org.tlmedge.core.EngineFactory
import org.tlmedge.core.UserError
import org.tlmedge.core.Vote

/** A model file of a bundle in ExecuTorch with XNNPACK. */
class ExecutorchEngine private constructor(private val module: Module) : Engine {
    override val runtime = "executorch"

    /** The library doesn't tell its version; this is the one of the version catalog. */
    override val version = "1.2.0"
    override val provider = "XNNPACK"

    override fun run(tokenIds: IntArray): Answer {
        val length = maxOf(tokenIds.size, SHORTEST)
        val ids = LongArray(length) { if (it < tokenIds.size) tokenIds[it].toLong() else 0 }
        val mask = LongArray(length) { if (it < tokenIds.size) 1 else 0 }
        val shape = longArrayOf(1, length.toLong())
        val outputs = try {
            module.forward(EValue.from(Tensor.fromBlob(ids, shape)), EValue.from(Tensor.fromBlob(mask, shape))).map { it.toTensor() }
        } catch (error: RuntimeException) {
            throw UserError("ExecuTorch could not run the model: ${error.message}", error)
        }
        if (outputs.size == 1) {
            val logits = outputs[0].dataAsFloatArray
            return Answer(Vote.softmax(logits), listOf(logits))
        }
        val labels = outputs[0].dataAsFloatArray.size
        return Answer(outputs[0].dataAsFloatArray, outputs[1].dataAsFloatArray.toList().chunked(labels) { it.toFloatArray() })
    }

    override fun close() = module.destroy()

    companion object : EngineFactory {
        /** The shortest sequence that programs are made for: [CLS] alone gets a padding token. */
        private const val SHORTEST = 2

        override fun load(bundle: Bundle, file: File, threads: Int): Engine = try {
            ExecutorchEngine(Module.load(file.path, Module.LOAD_MODE_MMAP, threads))
        } catch (error: RuntimeException) {
            throw UserError("ExecuTorch can't load ${file.name} of ${bundle.manifest.name}: ${error.message}", error)
        }
    }
}

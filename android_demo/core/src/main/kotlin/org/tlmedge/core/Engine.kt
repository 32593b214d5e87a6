package org.tlmedge.core

import java.io.Closeable
import java.io.File

/**
 * What a model said of one text: the probability of every label, and the logits of the members that were asked, in the order of asking;
 * a single model is a committee of one. [asked] tells which of the [members] these are.
 */
class Answer(
    val probabilities: FloatArray,
    val memberLogits: List<FloatArray>,
    val asked: List<Int> = memberLogits.indices.toList(),
    val members: Int = memberLogits.size,
) {
    val label: Int get() = Vote.best(probabilities)
}

/** A loaded model file in one runtime. Used by one thread at a time. */
interface Engine : Closeable {
    /** The runtime's name, as records tell it. */
    val runtime: String
    val version: String

    /** What computes: the CPU, or the part of the runtime that took the operators over. */
    val provider: String

    /** The answer for one text's token ids, special tokens included. Raises [UserError] if the model can't run it. */
    fun run(tokenIds: IntArray): Answer
}

/** Opens models of one target; every engine has one. */
interface EngineFactory {
    /** Loads one [file] of the bundle to compute with [threads] threads. Raises [UserError] if the runtime can't. */
    fun load(bundle: Bundle, file: File, threads: Int): Engine

    /**
     * Loads the bundle's model, or its members where each has a file of its own: all of them share the [threads] if all are asked. Raises
     * [UserError] if the runtime can't, or can't itself be loaded: a phone with 16 KB pages takes no library that was made for 4 KB.
     */
    fun open(bundle: Bundle, threads: Int): Engine {
        val manifest = bundle.manifest
        val atOnce = if (manifest.layout == "apart") minOf(threads, manifest.memberFiles.size) else 1
        val members = ArrayList<Engine>()
        try {
            bundle.modelFiles.mapTo(members) { load(bundle, it, threads / atOnce) }
        } catch (error: UserError) {
            members.forEach { it.close() }
            throw error
        } catch (error: LinkageError) {
            val said = error.message.orEmpty().lineSequence().first()
            throw UserError("this device can't load the runtime for ${manifest.target} bundles ($said): export for another target", error)
        }
        return if (manifest.layout == "fused") members[0] else StagedEngine(members, manifest.cascade, manifest.weights, atOnce)
    }
}

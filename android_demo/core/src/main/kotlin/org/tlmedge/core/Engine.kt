package org.tlmedge.core

import java.io.Closeable

/**
 * What a model said of one text: the probability of every label, and the logits of every member, shape (members, labels);
 * a single model is a committee of one.
 */
class Answer(val probabilities: FloatArray, val memberLogits: List<FloatArray>) {
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
    /** Loads the bundle's model file to compute with [threads] threads. Raises [UserError] if the runtime can't. */
    fun open(bundle: Bundle, threads: Int): Engine
}

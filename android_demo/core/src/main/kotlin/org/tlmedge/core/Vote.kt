package org.tlmedge.core

import kotlin.math.exp

/** From logits to probabilities: softmax, and the soft vote of a committee. */
object Vote {
    fun softmax(logits: FloatArray): FloatArray {
        val largest = logits.max()
        val powers = FloatArray(logits.size) { exp(logits[it] - largest) }
        val sum = powers.sum()
        return FloatArray(logits.size) { powers[it] / sum }
    }

    /** Mean of the members' softmax outputs (Gross et al., *Tiny language models*, Physica A 681, 131102). */
    fun soft(memberLogits: List<FloatArray>): FloatArray {
        val votes = memberLogits.map(::softmax)
        return FloatArray(votes[0].size) { label -> votes.map { it[label] }.average().toFloat() }
    }

    /** The best label's index; the earlier one of equals. */
    fun best(values: FloatArray): Int = values.indices.maxByOrNull { values[it] } ?: throw IllegalArgumentException("no labels")

    /** Share of the members whose own best label is the committee's. */
    fun agreement(memberLogits: List<FloatArray>): Double {
        val label = best(soft(memberLogits))
        return memberLogits.count { best(it) == label } / memberLogits.size.toDouble()
    }
}

package org.tlmedge.core

import kotlin.math.abs
import kotlin.math.exp

/** From logits to probabilities: softmax, and the soft vote of a committee. */
object Vote {
    fun softmax(logits: FloatArray): FloatArray {
        val largest = logits.max()
        val powers = FloatArray(logits.size) { exp(logits[it] - largest) }
        val sum = powers.sum()
        return FloatArray(logits.size) { powers[it] / sum }
    }

    /**
     * Mean of the members' softmax outputs (Gross et al., *Tiny language models*, Physica A 681, 131102); [weights], one a member, add up
     * to 1, without them all count the same.
     */
    fun soft(memberLogits: List<FloatArray>, weights: List<Double> = listOf()): FloatArray {
        val votes = memberLogits.map(::softmax)
        val shares = weights.ifEmpty { votes.map { 1.0 / votes.size } }
        return FloatArray(votes[0].size) { label -> votes.indices.sumOf { votes[it][label] * shares[it] }.toFloat() }
    }

    /** What is wrong with the [weights] of so many [members], a clause, or null. */
    fun weightsFault(weights: List<Double>, members: Int): String? = when {
        weights.isEmpty() -> null
        weights.size != members || weights.any { !(it >= 0) } -> "$members members have as many weights, none of them negative, not $weights"
        abs(weights.sum() - 1) > 1e-6 -> "the weights add up to ${weights.sum()}, not to 1"
        else -> null
    }

    /** The best label's index; the earlier one of equals. */
    fun best(values: FloatArray): Int = values.indices.maxByOrNull { values[it] } ?: throw IllegalArgumentException("no labels")

    /** Share of the members whose own best label is the committee's. */
    fun agreement(memberLogits: List<FloatArray>): Double {
        val label = best(soft(memberLogits))
        return memberLogits.count { best(it) == label } / memberLogits.size.toDouble()
    }
}

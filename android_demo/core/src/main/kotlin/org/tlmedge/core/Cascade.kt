package org.tlmedge.core

/**
 * Which member of a committee is asked when: [order] numbers every member once; after member `order[k]` a text is decided if its best
 * label leads the second best by at least `margins[k]` in the (weighted) mean of the softmax outputs so far.
 *
 * The rule of `tlm_edge/runtime/cascade.py`, in the same single precision.
 */
class Cascade(val order: List<Int>, margins: List<Double>) {
    val margins = FloatArray(margins.size) { margins[it].toFloat() }

    /** What is wrong with it, a clause, or null. */
    fun fault(): String? = when {
        order.size < 2 || order.sorted() != order.indices.toList() -> "$order is no order of two or more members"
        margins.size != order.size - 1 -> "${order.size} members have ${order.size - 1} margins, not ${margins.size}"
        margins.any { !(it >= 0) } -> "a margin is negative or not a number"
        else -> null
    }

    /**
     * Asks the members in turn, until the vote is clear; [ask] gives the logits of the member with that number, [weights] are those of
     * [Vote.soft].
     */
    fun vote(weights: List<Double>, ask: (Int) -> FloatArray): Answer {
        val logits = ArrayList<FloatArray>()
        var total = FloatArray(0)
        var weighed = 0.0
        for ((turn, member) in order.withIndex()) {
            val own = ask(member)
            logits.add(own)
            val share = if (weights.isEmpty()) 1.0 else weights[member]
            val votes = Vote.softmax(own).also { vote -> vote.indices.forEach { vote[it] *= share.toFloat() } }
            weighed += share
            total = if (turn == 0) votes else FloatArray(votes.size) { total[it] + votes[it] }
            val mean = FloatArray(total.size) { total[it] / weighed.toFloat() }
            if (turn == order.size - 1 || lead(mean) >= margins[turn]) return Answer(mean, logits, order.take(turn + 1), order.size)
        }
        error("no members")
    }

    private fun lead(vote: FloatArray): Float {
        if (vote.size < 2) return 1f
        val sorted = vote.sortedArray()
        return sorted[sorted.size - 1] - sorted[sorted.size - 2]
    }
}

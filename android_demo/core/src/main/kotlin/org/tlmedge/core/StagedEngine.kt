package org.tlmedge.core

import java.util.concurrent.Callable
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors

/**
 * A committee whose members are files of their own: asked in turn by [cascade], or all where there is none, [atOnce] of them at the same
 * time. [weights] are those of [Vote.soft].
 *
 * The counterpart of `tlm_edge/runtime/staged.py`.
 */
class StagedEngine(
    private val members: List<Engine>,
    private val cascade: Cascade?,
    private val weights: List<Double>,
    private val atOnce: Int = 1,
) : Engine {
    // The calling thread computes, too: to wait for another one would cost it a switch.
    private val helpers = if (atOnce > 1 && cascade == null) Executors.newFixedThreadPool(atOnce - 1) else null

    override val runtime get() = members[0].runtime
    override val version get() = members[0].version
    override val provider get() = members[0].provider

    override fun run(tokenIds: IntArray): Answer {
        fun ask(member: Int) = members[member].run(tokenIds).memberLogits[0]
        if (cascade != null) return cascade.vote(weights, ::ask)
        val logits = askAll(::ask)
        return Answer(Vote.soft(logits, weights), logits)
    }

    private fun askAll(ask: (Int) -> FloatArray): List<FloatArray> {
        if (helpers == null) return members.indices.map(ask)
        val answers = arrayOfNulls<FloatArray>(members.size)
        fun askShare(first: Int) = (first until members.size step atOnce).forEach { answers[it] = ask(it) }
        val others = (1 until atOnce).map { first -> helpers.submit(Callable { askShare(first) }) }
        try {
            askShare(0)
        } finally {
            // Whoever closes the members must not find one of them at work.
            try {
                others.forEach { it.get() }
            } catch (error: ExecutionException) {
                throw error.cause ?: error
            }
        }
        return answers.map { it!! }
    }

    override fun close() {
        helpers?.shutdown()
        members.forEach { it.close() }
    }
}

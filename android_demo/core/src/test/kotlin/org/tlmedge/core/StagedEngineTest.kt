package org.tlmedge.core

import java.util.concurrent.CyclicBarrier
import java.util.concurrent.TimeUnit
import org.junit.Assert.assertEquals
import org.junit.Assert.assertSame
import org.junit.Assert.assertThrows
import org.junit.Test

/** Members in files of their own: as many compute at once as there are threads, and answers keep their places. */
class StagedEngineTest {
    /** An engine whose logits are its number; it waits until as many are at work as the barrier is for. */
    private class Numbered(private val number: Int, private val together: CyclicBarrier) : Engine {
        override val runtime = "none"
        override val version = "0"
        override val provider = "CPU"
        var askedBy: Thread? = null

        override fun run(tokenIds: IntArray): Answer {
            askedBy = Thread.currentThread()
            together.await(30, TimeUnit.SECONDS)
            return Answer(floatArrayOf(1f, 0f), listOf(floatArrayOf(number.toFloat(), 0f)))
        }

        override fun close() {}
    }

    @Test
    fun members_compute_at_once_on_threads_of_their_own() {
        for ((count, atOnce) in listOf(4 to 2, 4 to 4, 6 to 3, 3 to 1)) {
            val together = CyclicBarrier(atOnce)
            val members = List(count) { Numbered(it, together) }
            val answer = StagedEngine(members, null, listOf(), atOnce).use { it.run(intArrayOf(1, 2)) }
            assertEquals(List(count) { it.toFloat() }, answer.memberLogits.map { it[0] })
            assertEquals(atOnce, members.map { it.askedBy }.toSet().size)
            assertSame(Thread.currentThread(), members[0].askedBy)
        }
    }

    @Test
    fun a_fault_of_a_member_comes_through() {
        val broken = object : Engine by Numbered(1, CyclicBarrier(1)) {
            override fun run(tokenIds: IntArray): Answer = throw UserError("broken")
        }
        val engine = StagedEngine(listOf(Numbered(0, CyclicBarrier(1)), broken), null, listOf(), 2)
        assertThrows(UserError::class.java) { engine.use { it.run(intArrayOf(1)) } }
    }
}

package org.tlmedge.core

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test

class MeasureTest {
    @Test
    fun summariesAreThoseOfPython() {
        for (vector in Vectors.lines("statistics.jsonl")) {
            val samples = Vectors.doubles(vector["samples"])
            val own = Statistics.summarize(samples)
            val expected = Vectors.doubles(vector["summary"])
            assertArrayEquals(expected, doubleArrayOf(own.n.toDouble(), own.mean, own.trimmedMean, own.p50, own.p90, own.p99), 1e-9)
            assertEquals((vector["spread"] as Number).toDouble(), Statistics.relativeSpread(samples.toList()), 1e-9)
        }
    }

    @Test
    fun accuraciesAreThoseOfPython() {
        for (vector in Vectors.lines("accuracies.jsonl")) {
            val expected = Vectors.ints(vector["expected"])
            val given = Vectors.ints(vector["given"])
            val (share, low, high) = Statistics.share(expected.indices.count { expected[it] == given[it] }, expected.size)
            assertArrayEquals(Vectors.doubles(vector["interval"]), doubleArrayOf(share, low, high), 1e-9)
            assertEquals((vector["macro_f1"] as Number).toDouble(), Statistics.macroF1(expected, given), 1e-9)
        }
    }

    @Test
    fun theVoteIsThatOfPython() {
        for (vector in Vectors.lines("votes.jsonl")) {
            val members = (vector["member_logits"] as List<*>).map { row -> Vectors.doubles(row).map { it.toFloat() }.toFloatArray() }
            val expected = Vectors.doubles(vector["probabilities"]).map { it.toFloat() }.toFloatArray()
            assertArrayEquals(expected, Vote.soft(members, Vectors.doubles(vector["weights"]).toList()), 1e-6f)
        }
    }

    @Test
    fun theProtocolIsThatOfPython() {
        val (vector) = Vectors.lines("protocol.jsonl")
        val texts = Vectors.strings(vector["texts"])
        for (expected in vector["profiles"] as List<*>) {
            val fields = expected as Map<*, *>
            val profile = Protocol.profile(fields["name"] as String)
            assertEquals(fields["inferences"], profile.inferences.toLong())
            assertEquals((fields["seconds"] as Number).toDouble(), profile.seconds, 0.0)
            assertEquals(fields["rounds"], profile.rounds.toLong())
            assertEquals((fields["warm_up_seconds"] as Number).toDouble(), profile.warmUpSeconds, 0.0)
            assertEquals(fields["block_inferences"], profile.blockInferences.toLong())
            assertEquals(Vectors.strings(fields["timed"]).sorted(), Protocol.textsToTime(texts, profile, 0).sorted())
        }
        for (order in vector["orders"] as List<*>) {
            val fields = order as Map<*, *>
            val own = Protocol.orderOfRound((fields["entries"] as Long).toInt(), (fields["number"] as Long).toInt())
            assertEquals(Vectors.ints(fields["order"]).toList(), own)
        }
        assertEquals(vector["sha256"], EvaluationTexts("x", texts, Vectors.strings(vector["labels"])).sha256)
    }
}

package org.tlmedge.core

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue

/** Holds an engine against the answers that Python's runtimes gave with the same bundles. */
object Answers {
    /** Classifies every text of the vectors [name] and compares labels, probabilities, logits and the members asked. */
    fun compare(name: String, engines: (String) -> EngineFactory) {
        for ((folder, answers) in Vectors.lines(name).groupBy { it["bundle"] as String }) {
            assertTrue("${answers.size} texts", answers.size >= 500)
            val bundle = Bundle.open(File(folder))
            Classifier(bundle, engines(bundle.manifest.target).open(bundle, 1)).use { compare(it, answers) }
        }
    }

    private fun compare(classifier: Classifier, answers: List<Map<*, *>>) {
        val manifest = classifier.bundle.manifest
        // Activations of int8 are rounded to 256 steps: what two builds of a runtime compute a hair apart may fall on two sides of one.
        val tolerance = if (manifest.precision == "fp32") 1e-4 else 0.2
        var largest = 0.0
        var ties = 0
        val stages = HashMap<Int, Int>()
        for (expected in answers) {
            val answer = classifier.classify(expected["text"] as String).answer
            val used = (expected["members_used"] as Long?)?.toInt()
            stages.merge(used ?: answer.members, 1, Int::plus)
            if (used != null && used != answer.asked.size && undecided(manifest, answer, minOf(used, answer.asked.size)) < tolerance) {
                ties++
                continue
            }
            val label = (expected["label"] as Long).toInt()
            val votes = Vectors.doubles(expected["probabilities"])
            if (answer.label != label && votes[label] - votes[answer.label] < tolerance) ties++ else assertEquals(expected["text"] as String, label, answer.label)
            val weights = if (manifest.weights.isEmpty()) listOf() else answer.asked.map { manifest.weights[it] }
            assertEquals(answer.label, Vote.best(Vote.soft(answer.memberLogits, weights)))
            largest = maxOf(largest, difference(expected["probabilities"], answer.probabilities))
            (expected["member_logits"] as List<*>?)?.let { logits ->
                assertEquals(logits.size, answer.memberLogits.size)
                logits.forEachIndexed { member, row -> largest = maxOf(largest, difference(row, answer.memberLogits[member])) }
            }
            used?.let { assertEquals(expected["text"] as String, it, answer.asked.size) }
        }
        println("${manifest.name}: ${answers.size} texts, same labels but for $ties ties, largest difference $largest, stages $stages")
        assertTrue("$ties ties", ties <= if (manifest.precision == "fp32") 0 else answers.size / 100)
        assertTrue("${manifest.name}: largest difference $largest", largest <= tolerance)
        manifest.cascade?.let { assertEquals("every stage decides some", it.order.size, stages.size) }
    }

    /** How far the vote of the first [asked] members is from the margin at which a cascade stops with them. */
    private fun undecided(manifest: Manifest, answer: Answer, asked: Int): Double {
        val cascade = checkNotNull(manifest.cascade)
        val weights = answer.asked.take(asked).map { if (manifest.weights.isEmpty()) 1.0 else manifest.weights[it] }
        val votes = Vote.soft(answer.memberLogits.take(asked), weights.map { it / weights.sum() }).sortedDescending()
        return Math.abs(votes[0] - votes[1] - cascade.margins[asked - 1]).toDouble()
    }

    private fun difference(expected: Any?, found: FloatArray): Double {
        val values = Vectors.doubles(expected)
        assertEquals(values.size, found.size)
        return values.indices.maxOf { Math.abs(values[it] - found[it]) }
    }
}

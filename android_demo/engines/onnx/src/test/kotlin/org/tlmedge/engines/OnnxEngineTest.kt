package org.tlmedge.engines

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.tlmedge.core.Bundle
import org.tlmedge.core.Classifier
import org.tlmedge.core.Entry
import org.tlmedge.core.EvaluationTexts
import org.tlmedge.core.Json
import org.tlmedge.core.Measure
import org.tlmedge.core.Protocol
import org.tlmedge.core.RecordWriter
import org.tlmedge.core.Session
import org.tlmedge.core.Surroundings
import org.tlmedge.core.UserError
import org.tlmedge.core.Vectors
import org.tlmedge.core.Vote

/** The engine class of the app in the desktop build of the same version of ONNX Runtime, on the shipped bundles. */
class OnnxEngineTest {
    @Test
    fun logitsAndLabelsAreThoseOfPython() {
        val texts = Vectors.lines("answers.jsonl").groupBy { it["bundle"] as String }
        for ((name, answers) in texts) {
            assertTrue("${answers.size} texts", answers.size >= 500)
            val bundle = Bundle.open(File(name))
            Classifier(bundle, OnnxEngine.open(bundle, 1)).use { classifier ->
                var largest = 0.0
                for (expected in answers) {
                    val answer = classifier.classify(expected["text"] as String).answer
                    val logits = expected["member_logits"] as List<*>
                    assertEquals(logits.size, answer.memberLogits.size)
                    logits.forEachIndexed { member, row ->
                        Vectors.doubles(row).forEachIndexed { label, value ->
                            largest = maxOf(largest, Math.abs(value - answer.memberLogits[member][label]))
                        }
                    }
                    assertEquals(expected["text"] as String, (expected["label"] as Long).toInt(), answer.label)
                    assertEquals(answer.label, Vote.best(Vote.soft(answer.memberLogits)))
                }
                println("${bundle.manifest.name}: ${answers.size} texts, same labels, largest difference of a logit $largest")
                // Activations of int8 are rounded to 256 steps: what two versions of the runtime compute a hair apart may fall
                // on two sides of one.
                val tolerance = if (bundle.manifest.precision == "fp32") 1e-4 else 0.05
                assertTrue("${bundle.manifest.name}: largest difference $largest", largest <= tolerance)
            }
        }
    }

    @Test
    fun theProtocolGivesRecords() {
        val texts = EvaluationTexts.read("models/evaluation/agnews.jsonl", File(Vectors.models, "evaluation/agnews.jsonl").readText())
        val bundles = listOf("agnews-committee", "agnews-bert-6").map { Bundle.open(File(Vectors.models, "$it/onnx-int8")) }
        val entries = bundles.map { Entry("${it.manifest.name}-t1", it, 1, OnnxEngine) }
        val profile = Protocol.profile("rapid")
        val surroundings = Surroundings()
        val steps = ArrayList<Int>()
        val outcomes = Measure(surroundings) { _, done, _ -> steps.add(done) }
            .run(entries, profile, texts.texts, Protocol.textsToTime(texts.texts, profile, 0))
        assertEquals((0 until entries.size * (1 + profile.rounds)).toList(), steps)
        val session = Session(profile, 0, "the JVM tests of android_demo", "desktop-jvm", "local")
        val writer = RecordWriter(session, surroundings.machine(), texts, "0")
        val out = File(checkNotNull(System.getProperty("records"))).apply { mkdirs() }
        for (outcome in outcomes) File(out, "${outcome.entry.id}.json").writeText(Json.write(writer.record(outcome, outcomes)))
    }

    @Test
    fun aFileThatIsNoModelIsRefused() {
        val folder = File(checkNotNull(System.getProperty("records")), "damaged").apply { mkdirs() }
        File(Vectors.models, "agnews-bert-1/onnx-int8").copyRecursively(folder, overwrite = true)
        val garbage = ByteArray(100) { it.toByte() }
        File(folder, "model.onnx").writeBytes(garbage)
        assertThrows(UserError::class.java) { Bundle.open(folder) }
        val manifest = File(folder, "manifest.json")
        val own = File(Vectors.models, "agnews-bert-1/onnx-int8/model.onnx")
        manifest.writeText(
            manifest.readText().replace(own.inputStream().use(Bundle::sha256), Bundle.sha256(garbage.inputStream())).replace("${own.length()}", "100"),
        )
        assertThrows(UserError::class.java) { OnnxEngine.open(Bundle.open(folder), 1) }
    }
}

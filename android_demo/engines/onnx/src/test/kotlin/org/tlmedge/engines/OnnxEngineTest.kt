package org.tlmedge.engines

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import org.tlmedge.core.Answers
import org.tlmedge.core.Bundle
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

/** The engine class of the app in the desktop build of the same version of ONNX Runtime, on the shipped bundles. */
class OnnxEngineTest {
    @Test
    fun answersAreThoseOfPython() = Answers.compare("answers.jsonl") { OnnxEngine }

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

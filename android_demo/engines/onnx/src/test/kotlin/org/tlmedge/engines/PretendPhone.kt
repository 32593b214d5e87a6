package org.tlmedge.engines

import java.io.File
import org.tlmedge.core.Bundle
import org.tlmedge.core.Entry
import org.tlmedge.core.EvaluationTexts
import org.tlmedge.core.Json
import org.tlmedge.core.Measure
import org.tlmedge.core.Protocol
import org.tlmedge.core.RecordWriter
import org.tlmedge.core.Session
import org.tlmedge.core.Surroundings

/**
 * What `BenchInstrumentation` does, on the desktop's JVM: for the tests of the host's side, where no phone is to be had.
 *
 * Arguments: the file to write, the evaluation texts, the profile, the command, and the bundles' folders.
 */
object PretendPhone {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val (out, evaluation, name, command) = arguments
        val profile = Protocol.profile(name)
        val texts = EvaluationTexts.read("models/evaluation/agnews.jsonl", File(evaluation).readText())
        val entries = arguments.drop(4).map { Bundle.open(File(it)) }.map { Entry("${it.manifest.name}-t1", it, 1, OnnxEngine) }
        val surroundings = Surroundings()
        val measure = Measure(surroundings) { what, done, steps -> println("INSTRUMENTATION_STATUS: tlm_progress=$done/$steps $what") }
        val outcomes = measure.run(entries, profile, texts.texts, Protocol.textsToTime(texts.texts, profile, 0))
        val writer = RecordWriter(Session(profile, 0, command, "android", "android"), surroundings.machine(), texts, "0")
        File(out).writeText(Json.write(outcomes.map { writer.record(it, outcomes) }))
    }
}

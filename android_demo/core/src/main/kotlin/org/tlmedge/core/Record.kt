package org.tlmedge.core

import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.TimeZone
import java.util.UUID

/** Labelled texts; [data] is how records name them. */
class EvaluationTexts(val data: String, val texts: List<String>, val labels: List<String>) {
    /** Digest of texts and labels, in their order, as `tlm_edge/bench/texts.py` takes it. */
    val sha256: String get() = Bundle.sha256(Json.write(listOf(texts, labels)).byteInputStream())

    /** Every text's label as an index into [known]; null where one of them isn't among them. */
    fun expected(known: List<String>): IntArray? = labels.map { known.indexOf(it) }.toIntArray().takeIf { indices -> indices.all { it >= 0 } }

    companion object {
        /** Reads JSON Lines with `text` and `label`. */
        fun read(data: String, jsonLines: String): EvaluationTexts {
            val rows = jsonLines.lines().filter { it.isNotBlank() }.map { Fields(Json.parse(it), data) }
            return EvaluationTexts(data, rows.map { it.string("text") }, rows.map { it.string("label") })
        }
    }
}

/** One interleaved run: what its records share. [command] repeats it. */
class Session(val profile: Profile, val seed: Int, val command: String, val device: String, val transport: String) {
    val id: String = UUID.randomUUID().toString().replace("-", "")
    val started: String = SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'+00:00'", Locale.ROOT).apply { timeZone = TimeZone.getTimeZone("UTC") }.format(Date())
}

/** Records in the schema of `tlm_edge/bench/record.schema.json`, which `tlm-edge report` reads. */
class RecordWriter(private val session: Session, private val machine: Machine, private val texts: EvaluationTexts, private val version: String) {
    /** The record of [outcome], one of [all] that were measured side by side. */
    fun record(outcome: Outcome, all: List<Outcome>): Map<String, Any?> {
        val verdict = Validity.judge(outcome.blocks, session.profile)
        val manifest = outcome.entry.bundle.manifest
        val tokens = outcome.blocks[0].tokens.map { it.toDouble() }.toDoubleArray().sortedArray()
        val expected = texts.expected(manifest.labels)
        return mapOf(
            "format" to "tlm-edge-record",
            "schema_version" to 1,
            "id" to outcome.entry.id,
            "tlm_edge_version" to version,
            "bundle" to bundle(outcome.entry.bundle),
            "device" to mapOf("name" to session.device, "transport" to session.transport, "machine" to machine()),
            "runtime" to mapOf("name" to outcome.runtime, "version" to outcome.version, "provider" to outcome.provider, "threads" to outcome.entry.threads),
            "texts" to mapOf(
                "data" to texts.data, "sha256" to texts.sha256, "timed" to tokens.size, "length" to "own",
                "tokens_p50" to Statistics.percentile(tokens, 50.0), "tokens_p90" to Statistics.percentile(tokens, 90.0), "tokens_max" to tokens.last().toInt(),
            ),
            "session" to mapOf(
                "id" to session.id, "started" to session.started, "profile" to session.profile.name, "rounds" to session.profile.rounds,
                "inferences" to session.profile.inferences, "seconds" to session.profile.seconds, "seed" to session.seed,
                "records" to all.map { it.entry.id }, "command" to session.command,
            ),
            "figures" to latencies(outcome) + memory(outcome) + accuracy(outcome, expected) + members(outcome),
            "validity" to mapOf("valid" to verdict.valid, "reasons" to verdict.reasons, "notes" to verdict.notes),
            "labelling" to expected?.let {
                mapOf(
                    "data" to texts.data, "sha256" to texts.sha256, "smoke_test" to true, "expected" to it.toList(), "given" to outcome.labels.toList(),
                    "reference" to null, "reference_origin" to NO_REFERENCE,
                )
            },
            "blocks" to outcome.blocks.map(::block),
        )
    }

    private fun bundle(bundle: Bundle): Map<String, Any?> = bundle.manifest.let {
        mapOf(
            "name" to it.name, "target" to it.target, "precision" to it.precision, "rewrite" to it.rewrite, "sha256" to bundle.manifestSha256,
            "source" to it.source.name, "source_sha256" to it.source.sha256, "architecture" to it.source.architecture, "members" to it.source.members,
            "parameters" to it.source.parameters, "labels" to it.labels, "max_length" to it.maxLength, "layout" to it.layout,
        )
    }

    private fun machine(): Map<String, Any?> = mapOf(
        "cpu" to machine.cpu, "architecture" to machine.architecture, "cores" to machine.cores, "usable_cores" to machine.cores,
        "memory_mb" to machine.memoryMb, "system" to machine.system, "kernel" to machine.kernel, "python" to "none", "features" to machine.features, "virtual" to null,
    )

    private fun latencies(outcome: Outcome): Map<String, Any?> {
        val tokenize = outcome.blocks.flatMap { it.tokenizeUs.toList() }
        val model = outcome.blocks.flatMap { it.modelUs.toList() }
        val total = Statistics.summarize(DoubleArray(model.size) { (tokenize[it] + model[it]) / 1e3 })
        val alone = Statistics.summarize(model.map { it / 1e3 }.toDoubleArray())
        val cut = Statistics.summarize(tokenize.map { it / 1e3 }.toDoubleArray())
        return mapOf(
            "latency_p50" to figure(total.p50, "ms"), "latency_p90" to figure(total.p90, "ms"), "latency_p99" to figure(total.p99, "ms"),
            "latency_mean" to figure(total.mean, "ms"), "latency_trimmed_mean" to figure(total.trimmedMean, "ms"),
            "model_p50" to figure(alone.p50, "ms"), "model_p90" to figure(alone.p90, "ms"),
            "tokenize_p50" to figure(cut.p50, "ms"), "tokenize_p90" to figure(cut.p90, "ms"),
            "throughput" to figure(1e3 / total.mean, "texts/s"),
            "load" to figure(Statistics.median(outcome.blocks.map { it.loadMs }), "ms"),
            "first_inference" to figure(Statistics.median(outcome.blocks.map { it.firstMs }), "ms"),
        )
    }

    private fun memory(outcome: Outcome): Map<String, Any?> {
        val bundle = outcome.entry.bundle
        val peak = outcome.blocks.mapNotNull { it.peakMb }.maxOrNull()
        val rise = outcome.blocks.mapNotNull { block -> block.bareMb?.let { bare -> block.peakMb?.minus(bare) } }.maxOrNull()
        val unseen = "the system doesn't let an app watch its own peak"
        return mapOf(
            "peak_rss" to figure(peak, "MB", if (peak == null) unseen else "of the whole app, its screens and the Java heap included"),
            "rise_rss" to figure(rise, "MB", if (rise == null) unseen else "of the whole app while the model was loaded, without pages kept from the model before"),
            "size" to figure(bundle.bytes / 1e6, "MB"), "model_size" to figure(bundle.manifest.modelFiles.sumOf { bundle.manifest.files.getValue(it).bytes } / 1e6, "MB"),
            "energy" to figure(null, "mJ", "no meter was given"),
        )
    }

    private fun accuracy(outcome: Outcome, expected: IntArray?): Map<String, Any?> {
        if (expected == null) {
            val note = "the labels of ${texts.data} are not those of the bundle"
            return listOf("accuracy", "macro_f1", "agreement").associateWith { figure(null, "1", note) }
        }
        val note = "on ${expected.size} texts of ${texts.data}, a smoke test"
        val (share, low, high) = Statistics.share(expected.indices.count { expected[it] == outcome.labels[it] }, expected.size)
        return mapOf(
            "accuracy" to figure(share, "1", note) + mapOf("low" to low, "high" to high),
            "macro_f1" to figure(Statistics.macroF1(expected, outcome.labels), "1", note),
            "agreement" to figure(null, "1", NO_REFERENCE),
        )
    }

    /** How many members of a cascade a text asks on average; nothing where all are asked. */
    private fun members(outcome: Outcome): Map<String, Any?> =
        if (outcome.entry.bundle.manifest.cascade == null) mapOf() else mapOf("members" to figure(outcome.asked.average(), "members"))

    private fun block(block: Block): Map<String, Any?> = mapOf(
        "round" to block.round, "position" to block.position, "load_ms" to block.loadMs, "first_ms" to block.firstMs, "bare_rss_mb" to block.bareMb,
        "peak_rss_mb" to block.peakMb, "wall_seconds" to block.wallSeconds, "cpu_seconds" to block.cpuSeconds, "others_busy_cores" to block.othersBusyCores,
        "before" to conditions(block.before), "after" to conditions(block.after),
        "tokenize_us" to block.tokenizeUs.toList(), "model_us" to block.modelUs.toList(),
    )

    private fun conditions(state: Conditions): Map<String, Any?> = mapOf(
        "clock_mhz" to state.clockMhz, "clock_limit_mhz" to state.clockLimitMhz, "governor" to state.governor, "temperature_c" to state.temperatureC,
        "load_average" to state.loadAverage, "available_memory_mb" to state.availableMemoryMb, "throttled" to state.throttled, "on_battery" to state.onBattery,
    )

    private fun figure(value: Double?, unit: String, note: String? = null): Map<String, Any?> =
        mapOf("value" to value, "unit" to unit, "provenance" to value?.let { "measured" }, "low" to null, "high" to null, "note" to note)

    private companion object {
        const val NO_REFERENCE = "PyTorch doesn't run in the app"
    }
}

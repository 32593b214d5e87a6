package org.tlmedge.core

/** One model at one number of threads, to be measured; [id] names its record. */
class Entry(val id: String, val bundle: Bundle, val threads: Int, val engines: EngineFactory)

/** A model's turn in a round: its raw samples in microseconds, and the machine around it. */
class Block(
    val round: Int,
    val position: Int,
    val loadMs: Double,
    val firstMs: Double,
    val bareMb: Double?,
    val peakMb: Double?,
    val wallSeconds: Double,
    val cpuSeconds: Double,
    val othersBusyCores: Double?,
    val before: Conditions,
    val after: Conditions,
    val tokenizeUs: DoubleArray,
    val modelUs: DoubleArray,
    val tokens: List<Int>,
)

/** What was measured of one entry; [labels] are those it gave to the evaluation texts, [asked] how many members each of these asked. */
class Outcome(
    val entry: Entry,
    val runtime: String,
    val version: String,
    val provider: String,
    val labels: IntArray,
    val asked: List<Int>,
    val blocks: List<Block>,
)

/** Called before each step with what it is, the steps done, and the steps in all; it may throw to stop the run. */
typealias Progress = (what: String, done: Int, steps: Int) -> Unit

/**
 * The interleaved run of `tlm_edge/bench/session.py`, in one process: here a block loads its model anew and frees it again,
 * where `tlm-edge bench` starts a process a block.
 */
class Measure(private val surroundings: Surroundings, private val progress: Progress) {
    /** Labels [texts] with every entry, then times [timed] in rounds. Raises [UserError] if a model can't be run. */
    fun run(entries: List<Entry>, profile: Profile, texts: List<String>, timed: List<String>): List<Outcome> {
        val steps = entries.size * (1 + profile.rounds)
        val labelled = entries.mapIndexed { index, entry ->
            progress(entry.id, index, steps)
            label(entry, texts)
        }
        val blocks = List(entries.size) { ArrayList<Block>() }
        for (round in 0 until profile.rounds) {
            Protocol.orderOfRound(entries.size, round).forEachIndexed { position, index ->
                progress(entries[index].id, entries.size * (1 + round) + position, steps)
                blocks[index].add(time(entries[index], profile, timed, round, position))
            }
        }
        return entries.indices.map { labelled[it](blocks[it]) }
    }

    private fun label(entry: Entry, texts: List<String>): (List<Block>) -> Outcome =
        Classifier(entry.bundle, entry.engines.open(entry.bundle, entry.threads)).use { classifier ->
            val answers = texts.map { classifier.classify(it).answer }
            val labels = answers.map { it.label }.toIntArray()
            val asked = answers.map { it.asked.size }
            val engine = classifier.engine
            val (runtime, version, provider) = Triple(engine.runtime, engine.version, engine.provider);
            { blocks -> Outcome(entry, runtime, version, provider, labels, asked, blocks) }
        }

    private fun time(entry: Entry, profile: Profile, timed: List<String>, round: Int, position: Int): Block {
        System.gc()
        val wasReset = surroundings.resetPeak()
        val bare = surroundings.residentMb()
        val before = surroundings.conditions()
        val start = System.nanoTime()
        // Opened anew, so that the hashes are part of the load as they are in `tlm-edge bench`.
        val bundle = Bundle.open(entry.bundle.folder)
        return Classifier(bundle, entry.engines.open(bundle, entry.threads)).use { classifier ->
            val loadMs = (System.nanoTime() - start) / 1e6
            val firstMs = classifier.classify(timed[0]).millis
            repeat(classifier, timed, inferences = 1, seconds = profile.warmUpSeconds)
            val busy = surroundings.busySeconds()
            val cpu = surroundings.cpuSeconds()
            val began = System.nanoTime()
            val samples = repeat(classifier, timed, profile.blockInferences, profile.blockSeconds)
            val wall = (System.nanoTime() - began) / 1e9
            val used = surroundings.cpuSeconds() - cpu
            val others = surroundings.busySeconds()?.let { after -> busy?.let { maxOf(0.0, (after - it - used) / wall) } }
            Block(
                round, position, loadMs, firstMs, bare, surroundings.peakMb(wasReset), wall, used, others, before, surroundings.conditions(),
                DoubleArray(samples.size) { tenths(samples[it].tokenizeNanos) },
                DoubleArray(samples.size) { tenths(samples[it].modelNanos) },
                samples.take(timed.size).map { it.tokens },
            )
        }
    }

    /** Whole passes, so that every text weighs the same, until both minima are reached. */
    private fun repeat(classifier: Classifier, texts: List<String>, inferences: Int, seconds: Double): List<Timed> {
        val samples = ArrayList<Timed>()
        val start = System.nanoTime()
        while (samples.size < inferences || (System.nanoTime() - start) / 1e9 < seconds) {
            texts.mapTo(samples) { classifier.classify(it) }
        }
        return samples
    }

    private fun tenths(nanos: Long): Double = Math.round(nanos / 100.0) / 10.0
}

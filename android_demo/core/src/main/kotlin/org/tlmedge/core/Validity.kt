package org.tlmedge.core

/** Whether figures may be quoted: [reasons] speak against it, [notes] only want to be known. */
class Verdict(val reasons: List<String>, val notes: List<String>) {
    val valid: Boolean get() = reasons.isEmpty()
}

/** The verdict of `tlm_edge/bench/validity.py`, with its limits, and what Android adds to it. */
object Validity {
    private const val OTHERS_BUSY_CORES = 0.25
    private const val BLOCK_SPREAD = 0.10
    private const val HOT = 80.0
    private const val CLOCK_DROP = 0.9

    fun judge(blocks: List<Block>, profile: Profile): Verdict = Verdict(samples(blocks, profile) + load(blocks) + heat(blocks), notes(blocks))

    private fun samples(blocks: List<Block>, profile: Profile): List<String> = listOfNotNull(
        blocks.sumOf { it.modelUs.size }.let { if (it < profile.inferences) "too few samples: $it of ${profile.inferences}" else null },
        blocks.sumOf { it.wallSeconds }.let { if (it < profile.seconds) "too short: ${one(it)} of ${profile.seconds} s" else null },
        if (blocks.size < profile.rounds) "too few rounds: ${blocks.size} of ${profile.rounds}" else null,
        Statistics.relativeSpread(blocks.map(::median)).let {
            if (it > BLOCK_SPREAD) "unsteady: the rounds' medians spread by ${one(100 * it)}% (limit ${(100 * BLOCK_SPREAD).toInt()}%)" else null
        },
    )

    private fun load(blocks: List<Block>): List<String> {
        val others = blocks.mapNotNull { it.othersBusyCores }
        val mean = if (others.isEmpty()) 0.0 else others.average()
        return if (mean > OTHERS_BUSY_CORES) listOf("other load: other processes kept ${one(mean)} cores busy (limit $OTHERS_BUSY_CORES)") else listOf()
    }

    private fun heat(blocks: List<Block>): List<String> {
        val hottest = states(blocks).mapNotNull { it.temperatureC }.maxOrNull() ?: 0.0
        val clocks = blocks.mapNotNull { it.after.clockMhz }
        val throttled = states(blocks).mapNotNull { it.throttled }.distinct()
        return listOfNotNull(
            if (hottest >= HOT) "hot: ${hottest.toInt()} °C (limit ${HOT.toInt()})" else null,
            if (clocks.isNotEmpty() && clocks.min() < CLOCK_DROP * clocks[0]) "the clock fell from ${clocks[0].toInt()} to ${clocks.min().toInt()} MHz" else null,
            if (throttled.isNotEmpty()) "throttled: the system reports ${throttled.joinToString()}" else null,
        )
    }

    private fun notes(blocks: List<Block>): List<String> {
        val first = blocks[0].before
        return listOfNotNull(
            "the models shared one process",
            when {
                first.governor == null && first.clockMhz == null -> "the system tells neither clock nor governor"
                first.governor != null && first.governor != "performance" -> "the CPU governor is ${first.governor}, so the clock may vary"
                else -> null
            },
            if (first.temperatureC == null) "the system tells no temperature" else null,
            if (states(blocks).any { it.onBattery == true }) "running on battery" else null,
            if (blocks.all { it.othersBusyCores == null }) "the system doesn't tell how busy other processes are" else null,
        )
    }

    /** Median microseconds from text to answer. */
    private fun median(block: Block): Double = Statistics.median(block.modelUs.indices.map { block.modelUs[it] + block.tokenizeUs[it] })

    private fun states(blocks: List<Block>): List<Conditions> = blocks.flatMap { listOf(it.before, it.after) }

    private fun one(value: Double): String = "%.1f".format(java.util.Locale.ROOT, value)
}

package org.tlmedge.core

import kotlin.math.ceil
import kotlin.math.min
import kotlin.random.Random

/** Length of a measurement; see `Profile` in `tlm_edge/bench/protocol.py`, whose numbers these are. */
class Profile(
    val name: String,
    val inferences: Int,
    val seconds: Double,
    val rounds: Int,
    val texts: Int,
    val warmUpSeconds: Double,
) {
    /** Inferences and seconds that one block, a model's turn in a round, must reach. */
    val blockInferences: Int get() = ceil(inferences / rounds.toDouble()).toInt()
    val blockSeconds: Double get() = seconds / rounds
}

/** How a benchmark is run: how often, how long, on which texts, in which order. */
object Protocol {
    val PROFILES: List<Profile> = listOf(
        Profile("rapid", inferences = 64, seconds = 3.0, rounds = 8, texts = 16, warmUpSeconds = 0.1),
        Profile("quick", inferences = 128, seconds = 10.0, rounds = 8, texts = 32, warmUpSeconds = 0.25),
        Profile("normal", inferences = 1024, seconds = 60.0, rounds = 16, texts = 128, warmUpSeconds = 1.0),
    )

    fun profile(name: String): Profile = PROFILES.find { it.name == name }
        ?: throw UserError("no profile '$name': choose ${PROFILES.joinToString { it.name }}")

    /**
     * The texts of every block: evenly spaced over the distribution of lengths, in random order.
     *
     * They are those that `tlm_edge/bench/protocol.py` takes; the order, which has no meaning, is this language's own.
     */
    fun textsToTime(texts: List<String>, profile: Profile, seed: Int): List<String> {
        if (texts.isEmpty()) throw UserError("there are no texts to time")
        val byLength = texts.sortedWith { one, other -> comparePoints(one, other) }
        val count = min(profile.texts, byLength.size)
        return List(count) { byLength[((it + 0.5) * byLength.size / count).toInt()] }.shuffled(Random(seed))
    }

    /** Whose turn it is in round [number]: rotated every other round and reversed in between. */
    fun orderOfRound(entries: Int, number: Int): List<Int> {
        val order = List(entries) { (number / 2 % entries + it) % entries }
        return if (number % 2 == 0) order else order.reversed()
    }

    /** By length and then by content, both in code points, as Python compares texts. */
    private fun comparePoints(one: String, other: String): Int {
        val first = one.codePoints().toArray()
        val second = other.codePoints().toArray()
        if (first.size != second.size) return first.size - second.size
        val differing = first.indices.firstOrNull { first[it] != second[it] } ?: return 0
        return first[differing] - second[differing]
    }
}

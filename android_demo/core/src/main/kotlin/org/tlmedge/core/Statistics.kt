package org.tlmedge.core

import kotlin.math.max
import kotlin.math.min
import kotlin.math.sqrt

/** What [Statistics.summarize] gives, in the unit of the samples. */
class Summary(val n: Int, val mean: Double, val trimmedMean: Double, val p50: Double, val p90: Double, val p99: Double)

/** Summaries of samples, as `tlm_edge/bench/statistics.py` has them. */
object Statistics {
    private const val Z = 1.959963984540054

    /** Percentiles by linear interpolation, mean, and mean without the lowest and highest tenth. */
    fun summarize(samples: DoubleArray): Summary {
        require(samples.isNotEmpty()) { "no samples" }
        val ordered = samples.sortedArray()
        val tenth = ordered.size / 10
        val trimmed = ordered.copyOfRange(tenth, ordered.size - tenth)
        return Summary(
            ordered.size, ordered.average(), trimmed.average(), percentile(ordered, 50.0), percentile(ordered, 90.0), percentile(ordered, 99.0),
        )
    }

    /** The percentile of ascending values by linear interpolation. */
    fun percentile(ordered: DoubleArray, percent: Double): Double {
        val position = percent / 100 * (ordered.size - 1)
        val below = position.toInt()
        val above = min(below + 1, ordered.size - 1)
        return ordered[below] + (position - below) * (ordered[above] - ordered[below])
    }

    fun median(values: List<Double>): Double = percentile(values.toDoubleArray().sortedArray(), 50.0)

    /** Interquartile range over the median; 0 for fewer than two values. */
    fun relativeSpread(values: List<Double>): Double {
        if (values.size < 2) return 0.0
        val ordered = values.toDoubleArray().sortedArray()
        return (percentile(ordered, 75.0) - percentile(ordered, 25.0)) / percentile(ordered, 50.0)
    }

    /** A share with Wilson's score interval (*JASA* 22, 1927) at 95 %: value, low, high. */
    fun share(correct: Int, n: Int): Triple<Double, Double, Double> {
        require(n > 0) { "no texts" }
        val share = correct / n.toDouble()
        val centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
        val half = Z / (1 + Z * Z / n) * sqrt(share * (1 - share) / n + Z * Z / (4.0 * n * n))
        return Triple(share, max(0.0, centre - half), min(1.0, centre + half))
    }

    /** Unweighted mean of the F1 of every label that is expected or given. */
    fun macroF1(expected: IntArray, given: IntArray): Double {
        val labels = (expected + given).toSet()
        return labels.map { label ->
            val right = expected.indices.count { expected[it] == label && given[it] == label }
            val wrong = expected.indices.count { (expected[it] == label) != (given[it] == label) }
            2.0 * right / (2.0 * right + wrong)
        }.average()
    }
}

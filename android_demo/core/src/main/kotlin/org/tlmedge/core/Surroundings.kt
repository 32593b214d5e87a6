package org.tlmedge.core

import java.io.File
import java.io.IOException

/** Hardware and system; see `Machine` in `tlm_edge/bench/machine.py`. */
class Machine(
    val cpu: String,
    val architecture: String,
    val cores: Int,
    val memoryMb: Double?,
    val system: String,
    val kernel: String,
    val features: List<String>,
)

/** What may spoil a measurement, at one moment; see `Conditions` in `tlm_edge/bench/machine.py`. Unknown is null. */
class Conditions(
    val clockMhz: Double?,
    val clockLimitMhz: Double?,
    val governor: String?,
    val temperatureC: Double?,
    val loadAverage: Double?,
    val availableMemoryMb: Double?,
    val throttled: String?,
    val onBattery: Boolean?,
)

/** What the machine tells of itself through the kernel's files below [root]; a file that may not be read tells nothing. */
open class Surroundings(private val root: File = File("/")) {
    /** What this machine is. */
    open fun machine(): Machine {
        val information = read("proc/cpuinfo").orEmpty()
        return Machine(
            cpu = field(information, "model name") ?: field(information, "Hardware") ?: "unknown",
            architecture = System.getProperty("os.arch") ?: "unknown",
            cores = Runtime.getRuntime().availableProcessors(),
            memoryMb = kilobytes("proc/meminfo", "MemTotal"),
            system = System.getProperty("os.name") ?: "unknown",
            kernel = "Linux " + (System.getProperty("os.version") ?: ""),
            features = (field(information, "Features") ?: field(information, "flags")).orEmpty().split(' ').filter { it in TELLING }.sorted(),
        )
    }

    /** The state of this machine now. */
    open fun conditions(): Conditions {
        val policies = list("sys/devices/system/cpu").filter { CORE.matches(it) }.map { "sys/devices/system/cpu/$it/cpufreq" }
        val governors = policies.mapNotNull { read("$it/scaling_governor") }.distinct().sorted()
        val zones = list("sys/class/thermal").filter { it.startsWith("thermal_zone") }
        return Conditions(
            clockMhz = mean(policies.mapNotNull { number("$it/scaling_cur_freq") }),
            clockLimitMhz = mean(policies.mapNotNull { number("$it/scaling_max_freq") }),
            governor = governors.joinToString().ifEmpty { null },
            temperatureC = zones.mapNotNull { number("sys/class/thermal/$it/temp") }.maxOrNull()?.div(1000),
            loadAverage = read("proc/loadavg")?.substringBefore(' ')?.toDoubleOrNull(),
            availableMemoryMb = kilobytes("proc/meminfo", "MemAvailable"),
            throttled = null,
            onBattery = null,
        )
    }

    /** Core-seconds since boot in which any core worked; null where the system keeps that to itself, as Android does. */
    fun busySeconds(): Double? {
        val parts = read("proc/stat")?.lineSequence()?.first()?.split(' ')?.filter { it.isNotEmpty() } ?: return null
        if (parts.size < 9 || parts[0] != "cpu") return null
        // user, nice, system, (idle, iowait,) irq, softirq, steal
        return listOf(1, 2, 3, 6, 7, 8).sumOf { parts[it].toDouble() } / TICKS
    }

    /** Processor seconds of this process. */
    fun cpuSeconds(): Double {
        val after = read("proc/self/stat")?.substringAfterLast(')')?.trim()?.split(' ') ?: return 0.0
        return (after[11].toDouble() + after[12].toDouble()) / TICKS
    }

    /** Resident set of this process in MB (10⁶ bytes). */
    fun residentMb(): Double? = kilobytes("proc/self/status", "VmRSS")

    /** Largest resident set since [resetPeak]; null if that could not be done. */
    fun peakMb(wasReset: Boolean): Double? = if (wasReset) kilobytes("proc/self/status", "VmHWM") else null

    /** Begins to watch for the largest resident set anew: several models share the app's process. Whether that worked. */
    fun resetPeak(): Boolean = try {
        // Linux, Documentation/filesystems/proc.rst: 5 resets the peak resident set size.
        File(root, "proc/self/clear_refs").writeText("5")
        true
    } catch (_: IOException) {
        false
    }

    protected fun read(path: String): String? = try {
        File(root, path).readText().trim()
    } catch (_: IOException) {
        null
    }

    private fun list(path: String): List<String> = File(root, path).list()?.toList().orEmpty()

    private fun number(path: String): Double? = read(path)?.toDoubleOrNull()?.takeIf { it > 0 }?.let { if ("cpufreq" in path) it / 1000 else it }

    private fun kilobytes(path: String, name: String): Double? =
        read(path)?.let { Regex("^$name:\\s+(\\d+) kB", RegexOption.MULTILINE).find(it) }?.let { it.groupValues[1].toDouble() * 1024 / 1e6 }

    private fun field(information: String, name: String): String? =
        Regex("^$name\\s*:\\s*(.+)$", RegexOption.MULTILINE).find(information)?.groupValues?.get(1)?.trim()

    private fun mean(values: List<Double>): Double? = if (values.isEmpty()) null else values.average()

    private companion object {
        /** Clock ticks a second, of every Linux that Java runs on. */
        const val TICKS = 100.0
        val CORE = Regex("cpu[0-9]+")
        val TELLING = setOf("avx", "avx2", "fma", "avx512_vnni", "avx_vnni", "neon", "asimd", "asimddp", "asimdhp", "fphp", "i8mm", "bf16", "sve", "sve2", "sme")
    }
}

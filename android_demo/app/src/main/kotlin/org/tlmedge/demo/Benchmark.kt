package org.tlmedge.demo

import android.content.Context
import java.io.File
import java.util.concurrent.atomic.AtomicBoolean
import org.tlmedge.core.Bundle
import org.tlmedge.core.Entry
import org.tlmedge.core.Json
import org.tlmedge.core.Measure
import org.tlmedge.core.Protocol
import org.tlmedge.core.RecordWriter
import org.tlmedge.core.Session
import org.tlmedge.core.UserError

/** What to measure: bundles side by side, at every number of threads. [command] repeats it, for the record. */
class Plan(val bundles: List<Bundle>, val profile: String, val threads: List<Int>, val seed: Int, val command: String)

/** Runs a plan and writes a record a bundle and number of threads. */
class Benchmark(private val context: Context) {
    private val stopped = AtomicBoolean()

    /** Ends the run at the next step; [run] raises [Stopped]. */
    fun stop() = stopped.set(true)

    /** The records, as JSON objects. Raises [UserError] if a bundle can't be run here. Not for the main thread. */
    fun run(plan: Plan, progress: (String, Int, Int) -> Unit): List<Map<String, Any?>> {
        val profile = Protocol.profile(plan.profile)
        val texts = Library(context).texts()
        val entries = plan.bundles.flatMap { bundle ->
            val target = bundle.manifest.target
            val engine = Library.engine(target) ?: throw UserError(context.getString(R.string.runtime_missing, target))
            plan.threads.map { Entry("${bundle.manifest.name}-t$it", bundle, it, engine) }
        }
        val surroundings = AndroidSurroundings(context)
        val measure = Measure(surroundings) { what, done, steps ->
            if (stopped.get()) throw Stopped()
            progress(what, done, steps)
        }
        val outcomes = measure.run(entries, profile, texts.texts, Protocol.textsToTime(texts.texts, profile, plan.seed))
        val session = Session(profile, plan.seed, plan.command, device = "android", transport = "android")
        val version = checkNotNull(context.packageManager.getPackageInfo(context.packageName, 0).versionName)
        val writer = RecordWriter(session, surroundings.machine(), texts, version)
        return outcomes.map { writer.record(it, outcomes) }
    }

    /** The user stopped the run. */
    class Stopped : RuntimeException()

    companion object {
        /** Where records are kept; part of the backup. */
        fun folder(context: Context): File = File(context.filesDir, "records")

        /** Keeps the records of the latest run, a file each as `tlm-edge report` reads them, and gives the files. */
        fun keep(context: Context, records: List<Map<String, Any?>>): List<File> {
            val partial = File(folder(context), "$LATEST.partial")
            partial.deleteRecursively()
            partial.mkdirs()
            records.forEachIndexed { index, record ->
                // The name of an imported bundle is another's word: nothing of it may lead out of the folder.
                val name = (record["id"] as String).replace(Regex("[^A-Za-z0-9._-]"), "-").take(80)
                File(partial, "${index + 1}-$name.json").writeText(Json.write(record))
            }
            val place = File(folder(context), LATEST)
            place.deleteRecursively()
            if (!partial.renameTo(place)) throw java.io.IOException("the records could not be kept: free some space")
            return files(context)
        }

        /** The records of the latest run; empty if there was none. */
        fun files(context: Context): List<File> = File(folder(context), LATEST).listFiles().orEmpty().sortedBy { it.name.substringBefore('-').toIntOrNull() }

        /** What [files] hold. */
        fun latest(context: Context): List<Map<*, *>> = try {
            files(context).map { Json.parse(it.readText()) as Map<*, *> }
        } catch (_: UserError) {
            listOf()
        }

        private const val LATEST = "latest"
    }
}

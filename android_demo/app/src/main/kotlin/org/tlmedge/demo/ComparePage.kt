package org.tlmedge.demo

import android.content.ClipData
import android.content.Context
import android.content.Intent
import android.os.Bundle
import android.view.View
import android.view.ViewGroup.LayoutParams.MATCH_PARENT
import android.view.ViewGroup.LayoutParams.WRAP_CONTENT
import android.widget.CheckBox
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.RadioButton
import android.widget.RadioGroup
import org.tlmedge.core.Protocol

/** Deep against committee: the measuring protocol on this phone. */
class ComparePage(context: Context) : Page(context) {
    private val choices = context.column()
    private val profiles = RadioGroup(context).apply { orientation = if (context.hasLargeFont) LinearLayout.VERTICAL else LinearLayout.HORIZONTAL }
    private val threads = context.row()
    private val startButton = context.button(R.string.start) { if (Run.current == null) begin() else Run.current?.benchmark?.stop() }.apply { id = R.id.start }
    private val bar = ProgressBar(context, null, android.R.attr.progressBarStyleHorizontal)
    private val status = context.text(Rank.BODY).apply { accessibilityLiveRegion = ACCESSIBILITY_LIVE_REGION_POLITE }
    private val surroundings = context.text(Rank.SMALL).apply { setPadding(0, context.dp(8), 0, 0) }
    private val results = context.column()
    private var models = listOf<Model>()

    init {
        content.addView(context.text(Rank.BODY, context.getString(R.string.compare_intro)))
        content.addView(context.card().apply {
            addView(choices)
            addView(context.text(Rank.SMALL, context.getString(R.string.profile)))
            addView(profiles)
            addView(context.text(Rank.SMALL, context.getString(R.string.threads)))
            addView(threads)
        })
        val names = listOf(R.string.profile_rapid, R.string.profile_quick, R.string.profile_normal)
        Protocol.PROFILES.forEachIndexed { index, profile ->
            profiles.addView(RadioButton(context).apply {
                id = PROFILE_IDS[index]
                setText(names[index])
                tag = profile.name
                minHeight = context.dp(48)
                setPadding(0, 0, context.dp(16), 0)
            })
        }
        profiles.check(PROFILE_IDS[0])
        for (count in listOf(1, 2, 4).filter { it <= Runtime.getRuntime().availableProcessors() || it == 1 }) {
            threads.addView(CheckBox(context).apply {
                text = count.toString()
                tag = count
                isChecked = count == 1
                minHeight = context.dp(48)
                minWidth = context.dp(64)
            })
        }
        listOf(startButton, bar, status, surroundings, results).forEach(content::addView)
        bar.layoutParams = LinearLayout.LayoutParams(MATCH_PARENT, WRAP_CONTENT)
        showResults()
    }

    override fun show(models: List<Model>) {
        val wanted = if (this.models.isEmpty()) null else chosen().map { it.name }
        this.models = models.filter { it.bundle != null && Library.engine(it.bundle.manifest.target) != null }
        choices.removeAllViews()
        for (model in this.models) {
            choices.addView(CheckBox(context).apply {
                text = model.name
                tag = model
                minHeight = context.dp(48)
                isChecked = wanted == null && model.shipped || wanted != null && model.name in wanted
            })
        }
    }

    override fun start() {
        Run.listener = ::showRun
        showRun()
        val device = AndroidSurroundings(context)
        val charge = device.charge()?.let { "$it %" } ?: context.getString(R.string.battery_unknown)
        val use = context.getString(if (device.conditions().onBattery == false) R.string.charging else R.string.on_battery)
        surroundings.show(context.getString(R.string.surroundings, charge, use, device.thermalStatus() ?: context.getString(R.string.thermal_unknown)))
    }

    override fun stop() {
        Run.listener = null
    }

    override fun save(state: Bundle) {
        state.putInt("profile", profiles.checkedRadioButtonId)
        state.putString("status", status.text.toString())
    }

    override fun restore(state: Bundle) {
        profiles.check(state.getInt("profile", PROFILE_IDS[0]))
        status.show(state.getString("status").orEmpty())
    }

    private fun chosen(): List<Model> = checked(choices) as List<Model>

    private fun checked(parent: LinearLayout): List<*> = (0 until parent.childCount).map { parent.getChildAt(it) as CheckBox }.filter { it.isChecked }.map { it.tag }

    private fun begin() {
        val bundles = chosen().mapNotNull { it.bundle }
        if (bundles.isEmpty()) {
            status.show(context.getString(R.string.choose_model))
            return
        }
        val profile = profiles.findViewById<View>(profiles.checkedRadioButtonId).tag as String
        val counts = (checked(threads) as List<Int>).ifEmpty { listOf(1) }
        worker.release()
        Run.begin(context, Plan(bundles, profile, counts, seed = 0, command = "the page Compare of the demo app"))
        showRun()
    }

    private fun showRun() {
        val run = Run.current
        startButton.setText(if (run == null) R.string.start else R.string.stop)
        bar.visibility = if (run == null) View.GONE else View.VISIBLE
        if (run != null) {
            bar.max = run.steps
            bar.progress = run.done
            status.show(context.getString(R.string.progress, run.done, run.steps, run.what))
        } else {
            Run.message?.let(status::show)
            showResults()
        }
    }

    private fun showResults() {
        results.removeAllViews()
        val rows = Benchmark.latest(context).map { Result.of(it) }
        if (rows.isEmpty()) return
        val card = context.card()
        results.addView(card)
        card.addView(table(rows))
        ratio(rows)?.let { card.addView(context.text(Rank.BODY, it).apply { setPadding(0, context.dp(16), 0, context.dp(16)) }) }
        card.addView(Pareto(context, rows), LinearLayout.LayoutParams(MATCH_PARENT, context.sp(200)))
        rows.flatMap { row -> row.reasons.map { "${row.name}: $it" } }.forEach { card.addView(context.text(Rank.WARNING, context.getString(R.string.provisional, it))) }
        card.addView(context.text(Rank.SMALL, context.getString(R.string.smoke_test)))
        card.addView(context.button(R.string.share_record, quiet = true) { share() })
    }

    /** A model's figures stand beside each other below its name; with a large font below each other, each with its name. */
    private fun table(rows: List<Result>) = context.column().apply {
        val names = FIGURES.map(context::getString)
        if (!context.hasLargeFont) addView(tableRow(names, Rank.SMALL))
        for (row in rows) {
            addView(context.text(Rank.HEADING, row.name + if (row.reasons.isEmpty()) "" else "$NO_BREAK†").apply { setPadding(0, context.dp(8), 0, 0) })
            val figures = listOf(row.accuracy?.let(::percent), significant(row.p50), significant(row.p90), row.memory?.let(::significant), significant(row.size)).map { it ?: "–" }
            if (context.hasLargeFont) names.zip(figures).forEach { (name, figure) -> addView(tableRow(listOf(name, figure), Rank.BODY)) } else addView(tableRow(figures, Rank.BODY))
        }
    }

    private fun tableRow(cells: List<String>, rank: Rank) = context.row().apply {
        for (cell in cells) addView(context.text(rank, cell), LinearLayout.LayoutParams(0, WRAP_CONTENT, 1f))
    }

    private fun ratio(rows: List<Result>): String? {
        if (rows.size < 2) return null
        val fast = rows.minByOrNull { it.p50 } ?: return null
        val slow = rows.maxByOrNull { it.p50 } ?: return null
        val said = context.getString(R.string.ratio, fast.name, significant(slow.p50 / fast.p50), slow.name)
        return if (fast.reasons.isEmpty() && slow.reasons.isEmpty()) said else "$said$NO_BREAK†"
    }

    private fun share() {
        val records = ArrayList(Benchmark.files(context).map(RecordProvider::uri))
        val intent = Intent(Intent.ACTION_SEND_MULTIPLE).setType("application/json").putParcelableArrayListExtra(Intent.EXTRA_STREAM, records)
        intent.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        // The permission to read is granted for what the clip data names.
        intent.clipData = ClipData.newRawUri(null, records[0]).apply { records.drop(1).forEach { addItem(ClipData.Item(it)) } }
        context.startActivity(Intent.createChooser(intent, null))
    }

    private companion object {
        val FIGURES = listOf(R.string.column_accuracy, R.string.column_p50, R.string.column_p90, R.string.column_memory, R.string.column_size)
        val PROFILE_IDS = listOf(R.id.profile_rapid, R.id.profile_quick, R.id.profile_normal)
    }
}

/** What a record says, as the page shows it. */
class Result(val name: String, val accuracy: Double?, val p50: Double, val p90: Double, val memory: Double?, val size: Double, val reasons: List<String>) {
    companion object {
        fun of(record: Map<*, *>): Result {
            val figures = record["figures"] as Map<*, *>
            fun value(name: String) = ((figures[name] as Map<*, *>)["value"] as Number?)?.toDouble()
            val bundle = record["bundle"] as Map<*, *>
            val runtime = record["runtime"] as Map<*, *>
            val reasons = (record["validity"] as Map<*, *>)["reasons"] as List<*>
            val threads = (runtime["threads"] as Number).toInt()
            val name = "${bundle["source"]}, ${bundle["target"]}" + if (threads == 1) "" else ", $threads threads"
            return Result(name, value("accuracy"), value("latency_p50") ?: 0.0, value("latency_p90") ?: 0.0, value("rise_rss"), value("size") ?: 0.0, reasons.map { it as String })
        }
    }
}

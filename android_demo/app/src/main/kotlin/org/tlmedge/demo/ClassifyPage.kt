package org.tlmedge.demo

import android.content.Context
import android.os.Bundle
import android.text.Editable
import android.text.InputType
import android.text.TextWatcher
import android.view.Gravity
import android.view.View
import android.view.ViewGroup.LayoutParams.MATCH_PARENT
import android.view.ViewGroup.LayoutParams.WRAP_CONTENT
import android.widget.EditText
import android.widget.HorizontalScrollView
import android.widget.LinearLayout
import android.widget.TextView
import org.tlmedge.core.Answer
import org.tlmedge.core.Vote

/** Text in, every model's answer as you type. */
class ClassifyPage(context: Context) : Page(context) {
    val input: EditText = EditText(context).apply {
        id = R.id.text
        setHint(R.string.text_hint)
        setBackgroundResource(R.drawable.card)
        setPadding(context.dp(16), context.dp(12), context.dp(16), context.dp(12))
        inputType = InputType.TYPE_CLASS_TEXT or InputType.TYPE_TEXT_FLAG_MULTI_LINE or InputType.TYPE_TEXT_FLAG_CAP_SENTENCES
        gravity = Gravity.TOP or Gravity.START
        minLines = if (context.isLandscape) 1 else 2
        maxLines = 6
        filters = arrayOf(android.text.InputFilter.LengthFilter(LONGEST))
    }
    private val answers = context.column()
    private val waiting: TextView = context.text(Rank.SMALL, context.getString(R.string.waiting))
    private var cards = mapOf<String, AnswerCard>()
    private var models = listOf<Model>()

    init {
        content.addView(input, LinearLayout.LayoutParams(MATCH_PARENT, WRAP_CONTENT))
        content.addView(samples())
        content.addView(waiting)
        content.addView(answers)
        input.addTextChangedListener(object : TextWatcher {
            override fun beforeTextChanged(text: CharSequence?, start: Int, count: Int, after: Int) = Unit

            override fun onTextChanged(text: CharSequence?, start: Int, before: Int, count: Int) = Unit

            override fun afterTextChanged(text: Editable?) = ask()
        })
    }

    override fun show(models: List<Model>) {
        this.models = models
        answers.removeAllViews()
        cards = models.associate { it.folder.path to AnswerCard(context, it) }
        answers.addCards(cards.values.toList())
        ask()
    }

    override fun save(state: Bundle) = state.putString("text", input.text.toString())

    override fun restore(state: Bundle) = write(state.getString("text").orEmpty())

    /** Puts [text] into the field, and the cursor behind it. */
    fun write(text: CharSequence) {
        input.setText(text)
        input.setSelection(input.length())
    }

    override fun stop() = worker.cancel()

    override fun start() = ask()

    private fun ask() {
        val text = input.text.toString()
        waiting.visibility = if (text.isBlank()) View.VISIBLE else View.GONE
        answers.visibility = if (text.isBlank()) View.GONE else View.VISIBLE
        if (text.isBlank()) worker.cancel() else worker.classify(models, text) { model, reply -> cards[model.folder.path]?.show(reply) }
    }

    private fun samples(): View {
        val row = context.row()
        row.addView(context.button(R.string.clear, quiet = true) { write("") })
        for (sample in resources.getStringArray(R.array.sample_texts)) {
            row.addView(context.button(R.string.samples, quiet = true) { write(sample) }.apply {
                text = sample.split(' ').take(3).joinToString(" ") + " …"
                contentDescription = sample
            })
        }
        row.gravity = Gravity.TOP
        return HorizontalScrollView(context).apply {
            isHorizontalScrollBarEnabled = false
            addView(row)
        }
    }

    private companion object {
        /** Characters; a model reads 128 tokens of them. */
        const val LONGEST = 20_000
    }
}

/** What one model says. */
private class AnswerCard(context: Context, private val model: Model) : LinearLayout(context) {
    private val answer = context.text(Rank.ANSWER, context.getString(R.string.loading)).apply { accessibilityLiveRegion = ACCESSIBILITY_LIVE_REGION_POLITE }
    private val bars = model.bundle?.let { Bars(context, it.manifest.labels) }
    private val votes = context.text(Rank.SMALL)
    private val latency = context.text(Rank.SMALL)
    private val problem = context.text(Rank.WARNING)

    init {
        orientation = VERTICAL
        outline()
        addView(context.text(Rank.HEADING, model.bundle?.manifest?.source?.name ?: model.name))
        model.bundle?.let {
            val kind = context.getString(R.string.model_kind, it.manifest.target, it.manifest.precision, context.getString(R.string.megabytes, significant(it.bytes / 1e6)))
            addView(context.text(Rank.SMALL, kind))
            addView(context.text(Rank.SMALL, it.manifest.source.architecture))
        }
        listOfNotNull(answer, bars, votes, latency, problem).forEach(::addView)
    }

    fun show(reply: Reply) {
        val timed = reply.timed
        val manifest = model.bundle?.manifest
        bars?.visibility = if (timed == null) View.GONE else View.VISIBLE
        if (timed == null || manifest == null) {
            listOf(answer, votes, latency).forEach { it.show("") }
            problem.show(reply.problem ?: context.getString(R.string.runtime_missing, manifest?.target))
            return
        }
        problem.show("")
        val said = timed.answer
        answer.show(context.getString(R.string.answer, manifest.labels[said.label], percent(said.probabilities[said.label].toDouble())))
        bars?.show(said.probabilities, said.label)
        votes.show(if (said.members > 1) votes(manifest.labels, said) else "")
        latency.show(context.getString(R.string.latency, significant(reply.medianMs), reply.runs, timed.tokens))
    }

    /** Every member's own label and share, in the order of asking, and how many a cascade had to ask. */
    private fun votes(labels: List<String>, said: Answer): String {
        val own = said.memberLogits.map(Vote::softmax)
        val each = said.asked.zip(own) { member, vote ->
            context.getString(R.string.member_vote, member + 1, labels[Vote.best(vote)], percent(vote.max().toDouble())).unbroken()
        }
        val agree = context.getString(R.string.agreement, own.count { Vote.best(it) == said.label }, own.size)
        val stages = if (model.bundle?.manifest?.cascade == null) null else context.getString(R.string.stages, said.asked.size, said.members)
        return listOfNotNull(stages, each.joinToString(" · "), agree).joinToString("\n")
    }
}

package org.tlmedge.demo

import android.content.Context
import android.content.res.Configuration
import android.graphics.Typeface
import android.util.TypedValue
import android.view.Gravity
import android.view.View
import android.view.ViewGroup.LayoutParams.MATCH_PARENT
import android.view.ViewGroup.LayoutParams.WRAP_CONTENT
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView

/** Density-independent pixels in pixels. */
fun Context.dp(value: Int): Int = Math.round(value * resources.displayMetrics.density)

/** Pixels that grow with the user's font size. */
fun Context.sp(value: Int): Int = Math.round(TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, value.toFloat(), resources.displayMetrics))

/** Texts of the app, by their rank. */
enum class Rank(val sp: Float, val color: Int, val bold: Boolean = false) {
    TITLE(22f, R.color.text, true),
    HEADING(17f, R.color.text, true),
    ANSWER(20f, R.color.accent, true),
    BODY(15f, R.color.text),
    SMALL(13f, R.color.text_muted),
    WARNING(13f, R.color.warning),
}

fun Context.text(rank: Rank, content: CharSequence = ""): TextView = TextView(this).apply {
    setTextSize(TypedValue.COMPLEX_UNIT_SP, rank.sp)
    setTextColor(context.getColorOf(rank.color))
    if (rank.bold) typeface = Typeface.DEFAULT_BOLD
    setPadding(0, dp(2), 0, dp(2))
    text = content
    visibility = if (content.isEmpty()) View.GONE else View.VISIBLE
}

/** Shows [content], or nothing where it is empty. */
fun TextView.show(content: CharSequence) {
    if (text.toString() != content.toString()) text = content
    visibility = if (content.isEmpty()) View.GONE else View.VISIBLE
}

fun Context.getColorOf(id: Int): Int = resources.getColor(id, theme)

fun Context.column(): LinearLayout = LinearLayout(this).apply { orientation = LinearLayout.VERTICAL }

fun Context.row(): LinearLayout = LinearLayout(this).apply {
    orientation = LinearLayout.HORIZONTAL
    gravity = Gravity.CENTER_VERTICAL
}

/** A column with an outline, as wide as what it is put into. */
fun Context.card(): LinearLayout = column().apply { outline() }

/** Draws an outline around what this column holds. */
fun LinearLayout.outline() {
    setBackgroundResource(R.drawable.card)
    setPadding(context.dp(16), context.dp(12), context.dp(16), context.dp(12))
    layoutParams = LinearLayout.LayoutParams(MATCH_PARENT, WRAP_CONTENT).apply { topMargin = context.dp(CARD_GAP_DP) }
}

/** Whether the screen is wider than high, and so has little room below each other. */
val Context.isLandscape: Boolean get() = resources.configuration.orientation == Configuration.ORIENTATION_LANDSCAPE

/** Whether the user's font is so large that what stands beside each other has to go below. */
val Context.hasLargeFont: Boolean get() = resources.configuration.fontScale > 1.3f

/** Adds [cards] below each other, or two and two where the screen is wide. */
fun LinearLayout.addCards(cards: List<LinearLayout>) {
    if (context.resources.configuration.screenWidthDp < WIDE_DP || context.hasLargeFont) return cards.forEach(::addView)
    for (pair in cards.chunked(2)) {
        val row = context.row().apply {
            isBaselineAligned = false
            setPadding(0, context.dp(CARD_GAP_DP), 0, 0)
        }
        for (index in 0..1) {
            val place = LinearLayout.LayoutParams(0, MATCH_PARENT, 1f).apply { marginStart = index * context.dp(CARD_GAP_DP) }
            row.addView(pair.getOrNull(index) ?: View(context), place)
        }
        addView(row)
    }
}

private const val WIDE_DP = 600
private const val CARD_GAP_DP = 12

fun Context.button(label: Int, quiet: Boolean = false, onClick: () -> Unit): Button = Button(this).apply {
    setText(label)
    isAllCaps = false
    setBackgroundResource(if (quiet) R.drawable.button_quiet else R.drawable.button)
    setTextColor(context.getColorOf(if (quiet) R.color.accent else R.color.on_accent))
    setPadding(dp(20), dp(10), dp(20), dp(10))
    minHeight = dp(48)
    stateListAnimator = null
    setOnClickListener { onClick() }
    layoutParams = LinearLayout.LayoutParams(WRAP_CONTENT, WRAP_CONTENT).apply {
        topMargin = dp(8)
        marginEnd = dp(8)
    }
}

/** Three significant digits, for milliseconds and the like. */
fun significant(value: Double): String = when {
    value >= 100 -> "%.0f".format(value)
    value >= 10 -> "%.1f".format(value)
    value >= 1 -> "%.2f".format(value)
    else -> "%.3f".format(value)
}

/** A space that doesn't break the line. */
const val NO_BREAK = '\u00a0'

/** This text, to be broken nowhere: neither at its spaces nor behind a slash. */
fun String.unbroken(): String = replace(' ', NO_BREAK).replace("/", "/\u2060")

fun percent(share: Double): String = "%.1f$NO_BREAK%%".format(100 * share)

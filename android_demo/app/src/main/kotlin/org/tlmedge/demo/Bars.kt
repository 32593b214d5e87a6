package org.tlmedge.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.Path
import android.view.View
import android.view.ViewGroup.LayoutParams.MATCH_PARENT
import android.view.ViewGroup.LayoutParams.WRAP_CONTENT
import android.widget.LinearLayout
import android.widget.TextView

/** One bar a label, with its probability; TalkBack reads a bar as one sentence. */
class Bars(context: Context, private val labels: List<String>) : LinearLayout(context) {
    private val rows = labels.map { Row(context) }

    init {
        orientation = VERTICAL
        // All bars begin below each other, right of the longest label; one that is too long for that is broken.
        val widest = labels.indices.maxOf { rows[it].name.paint.measureText(labels[it]) }.toInt() + context.dp(2)
        rows.forEach { it.name.layoutParams.width = minOf(widest, context.dp(LONGEST_LABEL_DP)) }
        rows.forEachIndexed { index, row ->
            row.name.text = labels[index]
            addView(row, LayoutParams(MATCH_PARENT, WRAP_CONTENT))
        }
    }

    /** Shows the probability of every label, and which one won. */
    fun show(probabilities: FloatArray, best: Int) = rows.forEachIndexed { index, row ->
        val share = percent(probabilities[index].toDouble())
        row.share.text = share
        row.bar.fraction = probabilities[index]
        row.name.setTextColor(context.getColorOf(if (index == best) R.color.text else R.color.text_muted))
        row.contentDescription = context.getString(R.string.bar_description, labels[index], share)
    }

    private companion object {
        const val LONGEST_LABEL_DP = 160
    }

    private class Row(context: Context) : LinearLayout(context) {
        val name: TextView = context.text(Rank.SMALL, " ")
        val bar = Bar(context)
        val share: TextView = context.text(Rank.SMALL, " ").apply { textAlignment = TEXT_ALIGNMENT_VIEW_END }

        init {
            gravity = android.view.Gravity.CENTER_VERTICAL
            isFocusable = true
            name.importantForAccessibility = IMPORTANT_FOR_ACCESSIBILITY_NO
            share.importantForAccessibility = IMPORTANT_FOR_ACCESSIBILITY_NO
            addView(name, LayoutParams(WRAP_CONTENT, WRAP_CONTENT).apply { marginEnd = context.dp(12) })
            addView(bar, LayoutParams(0, context.dp(10), 1f))
            addView(share, LayoutParams(share.paint.measureText(percent(1.0)).toInt() + context.dp(12), WRAP_CONTENT))
        }
    }

    /** A track that is filled to [fraction]. */
    private class Bar(context: Context) : View(context) {
        private val paint = Paint(Paint.ANTI_ALIAS_FLAG)
        private val track = Path()
        var fraction = 0f
            set(value) {
                field = value
                invalidate()
            }

        override fun onDraw(canvas: Canvas) {
            val radius = height / 2f
            paint.color = context.getColorOf(R.color.bar_track)
            canvas.drawRoundRect(0f, 0f, width.toFloat(), height.toFloat(), radius, radius, paint)
            paint.color = context.getColorOf(R.color.accent)
            val filled = width * fraction
            val left = if (layoutDirection == LAYOUT_DIRECTION_RTL) width - filled else 0f
            track.rewind()
            track.addRoundRect(0f, 0f, width.toFloat(), height.toFloat(), radius, radius, Path.Direction.CW)
            canvas.clipPath(track)
            canvas.drawRect(left, 0f, left + filled, height.toFloat(), paint)
        }
    }
}

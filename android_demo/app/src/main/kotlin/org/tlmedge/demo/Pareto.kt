package org.tlmedge.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.TypedValue
import android.view.View
import kotlin.math.ln

/** Accuracy over the logarithm of the median latency, a dot a model; up and left is better. */
class Pareto(context: Context, private val rows: List<Result>) : View(context) {
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        textSize = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, 12f, resources.displayMetrics)
        strokeWidth = context.dp(1).toFloat()
    }
    private val plotted = rows.filter { it.accuracy != null && it.p50 > 0 }

    init {
        isFocusable = true
        contentDescription = context.getString(
            R.string.plot_description, plotted.joinToString("; ") { "${it.name}, ${percent(checkNotNull(it.accuracy))}, ${significant(it.p50)} ms" },
        )
    }

    override fun onDraw(canvas: Canvas) {
        if (plotted.isEmpty()) return
        val line = paint.fontSpacing
        val left = paint.measureText("100.0 %") + context.dp(8)
        val top = line
        val right = width - context.dp(12).toFloat()
        val bottom = height - 2.5f * line
        val (fastest, slowest) = widened(plotted.map { ln(it.p50) }, 0.5)
        val (worst, best) = widened(plotted.map { checkNotNull(it.accuracy) }, 0.01)
        fun x(row: Result) = (left + (ln(row.p50) - fastest) / (slowest - fastest) * (right - left)).toFloat()
        fun y(row: Result) = (bottom - (checkNotNull(row.accuracy) - worst) / (best - worst) * (bottom - top)).toFloat()

        paint.color = context.getColorOf(R.color.outline)
        canvas.drawLine(left, bottom, right, bottom, paint)
        canvas.drawLine(left, top, left, bottom, paint)
        for (row in plotted) {
            paint.color = context.getColorOf(R.color.outline)
            canvas.drawLine(left, y(row), x(row), y(row), paint)
            canvas.drawLine(x(row), bottom, x(row), y(row), paint)
            paint.color = context.getColorOf(R.color.accent)
            canvas.drawCircle(x(row), y(row), context.dp(5).toFloat(), paint)
            paint.color = context.getColorOf(R.color.text)
            val wide = paint.measureText(row.name)
            val beside = x(row) + context.dp(9)
            canvas.drawText(row.name, if (beside + wide > right) maxOf(left, x(row) - wide - context.dp(9)) else beside, y(row) - context.dp(6) - paint.descent(), paint)
            paint.color = context.getColorOf(R.color.text_muted)
            val share = percent(checkNotNull(row.accuracy))
            canvas.drawText(share, left - paint.measureText(share) - context.dp(6), y(row) + line / 3, paint)
            val time = significant(row.p50)
            canvas.drawText(time, x(row) - paint.measureText(time) / 2, bottom + line, paint)
        }
        val title = context.getString(R.string.plot_latency)
        canvas.drawText(title, right - paint.measureText(title), bottom + 2 * line, paint)
        canvas.drawText(context.getString(R.string.plot_accuracy), 0f, top / 1.5f, paint)
    }

    private fun widened(values: List<Double>, margin: Double): Pair<Double, Double> {
        val room = maxOf(margin, 0.3 * (values.max() - values.min()))
        return values.min() - room to values.max() + room
    }
}

package org.tlmedge.demo

import android.content.Context
import android.os.Bundle
import android.view.ViewGroup.LayoutParams.MATCH_PARENT
import android.view.ViewGroup.LayoutParams.WRAP_CONTENT
import android.widget.FrameLayout
import android.widget.LinearLayout
import android.widget.ScrollView

/** One of the app's pages: a column that scrolls, no wider than can be read. */
abstract class Page(context: Context) : ScrollView(context) {
    protected val content: LinearLayout = context.column()
    protected val worker = Worker.of(context)

    init {
        isFillViewport = true
        if (!context.isLandscape) content.addView(context.text(Rank.TITLE, context.getString(R.string.app_name)).apply { setPadding(0, 0, 0, context.dp(8)) })
        addView(content, FrameLayout.LayoutParams(MATCH_PARENT, WRAP_CONTENT))
    }

    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val side = maxOf(context.dp(16), (MeasureSpec.getSize(widthMeasureSpec) - context.dp(WIDEST_DP)) / 2)
        content.setPadding(side, context.dp(10), side, context.dp(24))
        super.onMeasure(widthMeasureSpec, heightMeasureSpec)
    }

    /** The models have been opened, or have changed. */
    abstract fun show(models: List<Model>)

    open fun save(state: Bundle) = Unit

    open fun restore(state: Bundle) = Unit

    /** The page can be seen. */
    open fun start() = Unit

    /** The page can't be seen any more. */
    open fun stop() = Unit

    private companion object {
        const val WIDEST_DP = 720
    }
}

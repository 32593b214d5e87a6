package org.tlmedge.demo

import android.app.Activity
import android.content.Intent
import android.content.res.Configuration
import android.graphics.Typeface
import android.os.Build
import android.os.Bundle
import android.view.Gravity
import android.view.View
import android.view.ViewGroup.LayoutParams.MATCH_PARENT
import android.view.ViewGroup.LayoutParams.WRAP_CONTENT
import android.view.WindowInsets
import android.widget.FrameLayout
import android.widget.LinearLayout
import android.widget.TextView

/** The three pages and the way between them. */
class MainActivity : Activity() {
    private lateinit var pages: List<Page>
    private lateinit var tabs: List<TextView>
    private lateinit var frame: FrameLayout
    private var current = 0
    private var isStarted = false

    /** The page in front. */
    val page: Page get() = pages[current]

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        frame = FrameLayout(this)
        pages = listOf(ClassifyPage(this), ComparePage(this), ModelsPage(this, ::loadModels))
        tabs = listOf(R.string.page_classify, R.string.page_compare, R.string.page_models).mapIndexed { index, name -> tab(name, index) }
        setContentView(layout())
        edgeToEdge()
        if (savedInstanceState != null) {
            pages.forEach { it.restore(savedInstanceState) }
            current = savedInstanceState.getInt("page")
        } else {
            takeShared(intent)
        }
        showPage(current)
        loadModels()
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        takeShared(intent)
    }

    override fun onStart() {
        super.onStart()
        isStarted = true
        page.start()
    }

    override fun onStop() {
        super.onStop()
        isStarted = false
        page.stop()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        pages.forEach { it.save(outState) }
        outState.putInt("page", current)
    }

    /** Back leads to the first page and from there out of the app. */
    @Deprecated("Its successor is androidx's, or of Android 13 and later")
    @Suppress("DEPRECATION")
    override fun onBackPressed() {
        if (current != 0) showPage(0) else super.onBackPressed()
    }

    @Deprecated("Its successor is androidx's")
    @Suppress("DEPRECATION")
    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        super.onActivityResult(requestCode, resultCode, data)
        val uri = data?.data
        if (requestCode == ModelsPage.IMPORT && resultCode == RESULT_OK && uri != null) (pages[2] as ModelsPage).import(uri)
    }

    /** Puts page [number] in front. */
    fun showPage(number: Int) {
        if (isStarted) page.stop()
        current = number
        frame.removeAllViews()
        frame.addView(page, FrameLayout.LayoutParams(MATCH_PARENT, MATCH_PARENT))
        tabs.forEachIndexed { index, tab ->
            tab.isSelected = index == number
            tab.setTextColor(getColorOf(if (index == number) R.color.accent else R.color.text_muted))
            tab.typeface = if (index == number) Typeface.DEFAULT_BOLD else Typeface.DEFAULT
            tab.setBackgroundResource(if (index == number) R.drawable.tab_selected else 0)
        }
        if (isStarted) page.start()
    }

    private fun loadModels() = Worker.of(this).run({ it.models() }) { models, _ ->
        if (!isDestroyed && models != null) pages.forEach { it.show(models) }
    }

    private fun takeShared(intent: Intent) {
        val text = if (intent.action == Intent.ACTION_SEND) intent.getCharSequenceExtra(Intent.EXTRA_TEXT) else null
        if (text != null) {
            (pages[0] as ClassifyPage).write(text)
            showPage(0)
        }
    }

    private fun layout(): View {
        val beside = isLandscape
        val bar = if (beside) column() else row()
        bar.setBackgroundColor(getColorOf(R.color.surface))
        bar.gravity = Gravity.CENTER
        for (tab in tabs) bar.addView(tab, if (beside) LinearLayout.LayoutParams(maxOf(dp(112), sp(104)), maxOf(dp(64), sp(56))) else LinearLayout.LayoutParams(0, maxOf(dp(56), sp(48)), 1f))
        val root = if (beside) row() else column()
        if (beside) {
            root.addView(bar, LinearLayout.LayoutParams(WRAP_CONTENT, MATCH_PARENT))
            root.addView(frame, LinearLayout.LayoutParams(0, MATCH_PARENT, 1f))
        } else {
            root.addView(frame, LinearLayout.LayoutParams(MATCH_PARENT, 0, 1f))
            root.addView(bar, LinearLayout.LayoutParams(MATCH_PARENT, WRAP_CONTENT))
        }
        root.setBackgroundColor(getColorOf(R.color.background))
        return root
    }

    private fun tab(name: Int, index: Int): TextView = text(Rank.BODY, getString(name)).apply {
        gravity = Gravity.CENTER
        isClickable = true
        isFocusable = true
        setOnClickListener { showPage(index) }
    }

    /** Draws behind the system's bars, as Android 15 demands, and keeps content clear of them and of the keyboard. */
    @Suppress("DEPRECATION")
    private fun edgeToEdge() {
        val root = findViewById<View>(android.R.id.content)
        val isLight = resources.configuration.uiMode and Configuration.UI_MODE_NIGHT_MASK != Configuration.UI_MODE_NIGHT_YES
        if (Build.VERSION.SDK_INT < 30) {
            root.fitsSystemWindows = true
            if (isLight) window.decorView.systemUiVisibility = View.SYSTEM_UI_FLAG_LIGHT_STATUS_BAR
            return
        }
        window.setDecorFitsSystemWindows(false)
        val dark = android.view.WindowInsetsController.APPEARANCE_LIGHT_STATUS_BARS or android.view.WindowInsetsController.APPEARANCE_LIGHT_NAVIGATION_BARS
        window.insetsController?.setSystemBarsAppearance(if (isLight) dark else 0, dark)
        root.setOnApplyWindowInsetsListener { view, insets ->
            val room = insets.getInsets(WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout() or WindowInsets.Type.ime())
            view.setPadding(room.left, room.top, room.right, room.bottom)
            insets
        }
    }
}

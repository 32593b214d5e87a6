package org.tlmedge.demo

import android.app.Activity
import android.content.Context
import android.content.Intent
import android.net.Uri
import android.widget.LinearLayout
import android.widget.TextView
import java.io.IOException
import org.tlmedge.core.Bundle
import org.tlmedge.core.UserError

/** The models there are, and bringing in others. */
class ModelsPage(context: Context, private val changed: () -> Unit) : Page(context) {
    private val list = context.column()
    val message: TextView = context.text(Rank.BODY).apply { accessibilityLiveRegion = ACCESSIBILITY_LIVE_REGION_POLITE }

    init {
        content.addView(context.button(R.string.import_bundle) { choose() }.apply { id = R.id.import_bundle })
        content.addView(context.text(Rank.SMALL, context.getString(R.string.import_hint)).apply { setPadding(0, context.dp(8), 0, 0) })
        content.addView(message)
        content.addView(list)
    }

    override fun show(models: List<Model>) {
        list.removeAllViews()
        list.addCards(models.map(::card))
    }

    override fun save(state: android.os.Bundle) = state.putString("message", message.text.toString())

    override fun restore(state: android.os.Bundle) = message.show(state.getString("message").orEmpty())

    /** Imports what the system's picker gave. */
    fun import(uri: Uri) {
        message.show(context.getString(R.string.importing))
        val resolver = context.applicationContext.contentResolver
        val unreadable = context.getString(R.string.import_unreadable)
        worker.run({ library -> open(resolver, uri, unreadable).use(library::import) }) { bundle: Bundle?, problem ->
            val words = if (bundle != null) context.getString(R.string.imported, bundle.manifest.name) else context.getString(R.string.import_failed, problem)
            message.show(words)
            changed()
        }
    }

    private fun open(resolver: android.content.ContentResolver, uri: Uri, unreadable: String) = try {
        resolver.openInputStream(uri) ?: throw UserError(unreadable)
    } catch (error: IOException) {
        throw UserError(unreadable, error)
    } catch (error: SecurityException) {
        throw UserError(unreadable, error)
    }

    @Suppress("DEPRECATION") // its successor is androidx's
    private fun choose() {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*")
        intent.putExtra(Intent.EXTRA_MIME_TYPES, arrayOf("application/zip", "application/octet-stream", "application/x-zip-compressed"))
        try {
            (context as Activity).startActivityForResult(intent, IMPORT)
        } catch (_: android.content.ActivityNotFoundException) {
            message.show(context.getString(R.string.import_failed, context.getString(R.string.import_unreadable)))
        }
    }

    private fun card(model: Model): LinearLayout = context.card().apply {
        val manifest = model.bundle?.manifest
        addView(context.text(Rank.HEADING, model.name))
        if (manifest == null) {
            addView(context.text(Rank.WARNING, context.getString(R.string.model_damaged, model.name, model.problem)))
        } else {
            val source = manifest.source
            addView(context.text(Rank.SMALL, context.getString(R.string.model_kind, manifest.target, manifest.precision, manifest.rewrite)))
            addView(context.text(Rank.BODY, context.getString(R.string.model_source, source.architecture, significant(source.parameters / 1e6))))
            addView(context.text(Rank.BODY, context.getString(R.string.model_size, significant(model.bundle.bytes / 1e6), manifest.labels.size, manifest.labels.joinToString())))
            manifest.accuracy?.let { addView(context.text(Rank.BODY, context.getString(R.string.model_accuracy, percent(it.accuracy), it.texts))) }
            if (Library.engine(manifest.target) == null) addView(context.text(Rank.WARNING, context.getString(R.string.runtime_missing, manifest.target)))
        }
        if (!model.shipped) {
            addView(context.button(R.string.remove, quiet = true) { remove(model) }.apply { contentDescription = context.getString(R.string.remove_description, model.name) })
        }
    }

    private fun remove(model: Model) {
        worker.release()
        worker.run({ library -> library.remove(model) }) { _, _ -> changed() }
    }

    companion object {
        const val IMPORT = 1
    }
}

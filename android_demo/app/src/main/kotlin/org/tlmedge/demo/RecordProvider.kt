package org.tlmedge.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException

/** Lends the latest records, read only, to the app that the user shares them with. */
class RecordProvider : ContentProvider() {
    override fun onCreate() = true

    override fun getType(uri: Uri) = "application/json"

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        if (mode != "r") throw FileNotFoundException("read only")
        return ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun query(uri: Uri, projection: Array<String>?, selection: String?, arguments: Array<String>?, order: String?): Cursor {
        val columns = projection ?: arrayOf(OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE)
        return MatrixCursor(columns).apply {
            addRow(columns.map { if (it == OpenableColumns.SIZE) file(uri).length() else if (it == OpenableColumns.DISPLAY_NAME) file(uri).name else null })
        }
    }

    /** One of the latest records, found by comparing: no name from outside reaches the file system. */
    private fun file(uri: Uri): File =
        context?.let(Benchmark::files).orEmpty().find { uri(it) == uri } ?: throw FileNotFoundException(uri.toString())

    override fun insert(uri: Uri, values: ContentValues?): Uri? = throw UnsupportedOperationException()

    override fun update(uri: Uri, values: ContentValues?, selection: String?, arguments: Array<String>?) = throw UnsupportedOperationException()

    override fun delete(uri: Uri, selection: String?, arguments: Array<String>?) = throw UnsupportedOperationException()

    companion object {
        /** How the receiving app asks for [record]. */
        fun uri(record: File): Uri = Uri.Builder().scheme("content").authority("org.tlmedge.demo.records").appendPath(record.name).build()
    }
}

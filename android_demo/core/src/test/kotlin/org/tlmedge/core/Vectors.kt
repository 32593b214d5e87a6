package org.tlmedge.core

import java.io.File

/** What the Python side computed (`tests/android/vectors.py`), in the folder that the property `vectors` names. */
object Vectors {
    private val folder = File(checkNotNull(System.getProperty("vectors")) { "run me through tests/android" })
    val models = File(checkNotNull(System.getProperty("models")))

    fun lines(name: String): List<Map<*, *>> = File(folder, name).useLines { lines -> lines.map { Json.parse(it) as Map<*, *> }.toList() }

    fun ints(value: Any?): IntArray = (value as List<*>).map { (it as Long).toInt() }.toIntArray()

    fun doubles(value: Any?): DoubleArray = (value as List<*>).map { (it as Number).toDouble() }.toDoubleArray()

    fun strings(value: Any?): List<String> = (value as List<*>).map { it as String }
}

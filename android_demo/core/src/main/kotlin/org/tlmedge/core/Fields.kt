package org.tlmedge.core

/** A JSON object whose fields are read with their type checked; [where] names it in messages. Raises [UserError]. */
internal class Fields(value: Any?, private val where: String) {
    private val fields: Map<*, *> = value as? Map<*, *> ?: throw UserError("$where: an object expected")

    fun has(name: String) = fields[name] != null

    fun names(): Set<String> = fields.keys.map { it as String }.toSet()

    fun all(): Map<String, Any?> = fields.entries.associate { (key, value) -> key as String to value }

    fun string(name: String): String = fields[name] as? String ?: wrong(name, "a text")

    fun boolean(name: String): Boolean = fields[name] as? Boolean ?: wrong(name, "true or false")

    fun booleanOrNull(name: String): Boolean? = if (has(name)) boolean(name) else null

    fun long(name: String): Long = fields[name] as? Long ?: wrong(name, "a whole number")

    fun int(name: String): Int = long(name).let { if (it in Int.MIN_VALUE..Int.MAX_VALUE) it.toInt() else wrong(name, "a smaller number") }

    fun number(name: String): Double = (fields[name] as? Number)?.toDouble() ?: wrong(name, "a number")

    fun list(name: String): List<*> = fields[name] as? List<*> ?: wrong(name, "a list")

    fun strings(name: String): List<String> = list(name).map { it as? String ?: wrong(name, "texts") }

    fun ints(name: String): List<Int> = list(name).map { value ->
        (value as? Long)?.takeIf { it in Int.MIN_VALUE..Int.MAX_VALUE }?.toInt() ?: wrong(name, "whole numbers")
    }

    fun numbers(name: String): List<Double> = list(name).map { (it as? Number)?.toDouble() ?: wrong(name, "numbers") }

    fun fields(name: String) = Fields(fields[name] ?: wrong(name, "an object"), "$where, $name")

    /** This object, if it has no field but [names]. */
    fun only(vararg names: String): Fields {
        (names() - names.toSet()).firstOrNull()?.let { fail("the field '$it' is unknown here") }
        return this
    }

    /** This object, if its `type` is [type]. */
    fun kind(type: String): Fields {
        val found = fields["type"]
        if (found != type) fail("'$found' can't be read here, only $type")
        return this
    }

    fun fail(why: String): Nothing = throw UserError("$where: $why")

    private fun wrong(name: String, expected: String): Nothing = fail("$name: $expected expected")
}

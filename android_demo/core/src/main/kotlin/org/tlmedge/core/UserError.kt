package org.tlmedge.core

/** What the user can repair: one line that says what is wrong, where, and what to do. */
class UserError(message: String, cause: Throwable? = null) : Exception(message, cause)

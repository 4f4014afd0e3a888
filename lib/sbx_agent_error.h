/*
 * How what the agent was asked for ends when it does not come off: the words on the wire between agent and executor. What
 * is none of them is nonsense, and ends the session.
 */
#pragma once

/* X(NAME, "code"): of operations on files. */
#define SBX_FILE_ERRORS(X)                                                                                   \
    X(NOT_FOUND, "not_found")                                                                                \
    X(EXISTS, "exists")                                                                                      \
    X(INVALID, "invalid")                                                                                    \
    X(NOT_A_DIRECTORY, "not_a_directory")                                                                    \
    X(IS_A_DIRECTORY, "is_a_directory")                                                                      \
    X(NOT_EMPTY, "not_empty")                                                                                \
    X(NO_SPACE, "no_space")                                                                                  \
    X(TOO_LARGE, "too_large")                                                                                \
    X(DENIED, "denied")                                                                                      \
    X(BUSY, "busy")                                                                                          \
    X(FAILED, "failed")

/* Of anything. */
#define SBX_AGENT_ERRORS(X)                                                                                  \
    SBX_FILE_ERRORS(X)                                                                                       \
    X(CRASHED, "crashed")

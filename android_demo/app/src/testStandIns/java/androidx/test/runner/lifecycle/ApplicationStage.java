package androidx.test.runner.lifecycle;

/** Stand-in: the stages of an application. */
public enum ApplicationStage {
    PRE_ON_CREATE,
    CREATED
}

"""The exceptions of this project. Each carries a message only, so that it survives pickling; facts are notes.

EvaluationError
├── InputError            the user's input is wrong: exit 2, message names file, key and fix
│   ├── SpecError         the study file
│   ├── RequestSetError   a request file or set
│   ├── ImportFileError   a file of transcripts or labels from elsewhere
│   ├── TemplateError     a prompt template
│   └── WorkspaceError    the workspace: not writable, locked, newer schema, another study of that name
├── EngineError           an engine could not be started or reached
├── StoreError            a commit or a read of the tables failed
├── RunError              a process of the run itself ended: what is stored is kept, the same command goes on
└── TrackingError         a tracking server could not be reached or did not take the results
"""


class EvaluationError(Exception):
    """Root of every exception that this project raises itself."""


class InputError(EvaluationError):
    """The input is wrong and the user can mend it; the command line prints it alone and exits 2."""


class SpecError(InputError):
    """A study file is missing, malformed, or asks for something that does not exist."""


class RequestSetError(InputError):
    """A request set can't be loaded: no such file or column, no rows, a repeated id."""


class ImportFileError(InputError):
    """A file to import can't be read, or holds what can't be taken: message names file, row, column and fix."""


class TemplateError(InputError):
    """A prompt template has an undeclared placeholder or lacks a value for a declared one."""


class WorkspaceError(InputError):
    """A workspace can't be used: not writable, in use, or written by a newer schema."""


class EngineError(EvaluationError):
    """An engine could not be started, or ended while calls were in flight."""


class StoreError(EvaluationError):
    """The tables could not be written or read."""


class RunError(EvaluationError):
    """A run lost its journal or its dispatcher; what was acknowledged is stored and the same command goes on."""


class TrackingError(EvaluationError):
    """A tracking server could not be reached or did not take the results; nothing of ours is lost by it."""

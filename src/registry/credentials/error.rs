//! Why credentials cannot be had.

/// Why credentials cannot be had. None of these quotes an auth file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A file is not JSON of the expected shape.
    #[error("Auth file `{file}` is not valid at line {line}, column {column}")]
    Syntax {
        /// The file's name.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Where an object belongs there is something else.
    #[error("Auth file `{file}` has something else than an object as `{key}`")]
    NoObject {
        /// The file's name.
        file: String,
        /// The key.
        key: String,
    },
    /// An entry is not base64 of `user:password`.
    #[error("Auth file `{file}` has an entry for `{key}` that is not base64 of `user:password`")]
    Entry {
        /// The file's name.
        file: String,
        /// The entry's key.
        key: String,
    },
    /// A helper's name would not be found where helpers are.
    #[error("Credential helper `{name}` is not a plain name")]
    HelperName {
        /// The name, as the file has it.
        name: String,
    },
    /// A helper cannot be started or spoken to.
    #[error("Credential helper `{program}` cannot be run")]
    HelperStart {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A helper ended with an error.
    #[error("Credential helper `{program}` failed: {message}")]
    HelperFailed {
        /// The program.
        program: String,
        /// Its words, made fit for one line.
        message: String,
    },
    /// A helper gave no answer in time.
    #[error("Credential helper `{program}` gave no answer within {seconds} seconds")]
    HelperTimedOut {
        /// The program.
        program: String,
        /// How long we waited.
        seconds: u64,
    },
    /// A helper's answer is not what the protocol says.
    #[error("Credential helper `{program}` gave an answer that is not understood")]
    HelperAnswer {
        /// The program.
        program: String,
    },
}

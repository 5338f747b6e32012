//! The one error type of the crate.

use std::borrow::Cow;

/// What can go wrong. Public functions return it instead of panicking on a caller's input.
///
/// Every message names the operation and the numbers that did not fit.
///
/// ```
/// use wgrad::{Device, Error};
/// let device = Device::cpu();
/// let error = device.tensor(&[1.0, 2.0, 3.0], [2, 2]).unwrap_err();
/// assert!(matches!(error, Error::ShapeMismatch { .. }));
/// assert_eq!(error.to_string(), "tensor: expected 4 values for the shape [2, 2], found 3");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no GPU, or none that fits the request.
    #[error("no usable GPU adapter: {reason}")]
    NoAdapter {
        /// What was requested and what was found.
        reason: String,
    },
    /// Shapes, or a shape and a number of values, do not match.
    #[error("{op}: expected {expected}, found {found}")]
    ShapeMismatch {
        /// The operation.
        op: &'static str,
        /// What it needs.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// The tensors of one operation live on different devices.
    #[error(
        "{op}: the tensors live on different devices ({}); copy one with \
         device.tensor(&tensor.to_vec()?, tensor.shape())",
        devices(first, second)
    )]
    DeviceMismatch {
        /// The operation.
        op: &'static str,
        /// The device of the first tensor.
        first: String,
        /// The device of the tensor that does not fit.
        second: String,
    },
    /// The derivative of this activation cannot be told from its output alone.
    #[error(
        "{activation}: the derivative is not a function of the output; use derivative(&z) or backward(&z, &dy)"
    )]
    NotAFunctionOfOutput {
        /// The activation, as [`Display`](std::fmt::Display) prints it.
        activation: String,
    },
    /// A class index outside `0..classes` that is not the loss's `ignore_index` either.
    #[error(
        "label {label} in row {row} is not one of the {classes} classes (0 to {last}){hint}",
        last = classes.saturating_sub(1),
        hint = label_hint(*label, *classes),
    )]
    InvalidLabel {
        /// The row of the label.
        row: usize,
        /// The label.
        label: i32,
        /// The number of classes K.
        classes: usize,
    },
    /// A target, or a weight that belongs to it, is outside the range for which the loss is
    /// defined. Reported if the host knows the values: see
    /// `DeviceOptions::checked`.
    #[error("{loss}: the target {value} in row {row}, column {column} {reason}")]
    InvalidTarget {
        /// The loss.
        loss: String,
        /// The row of the target, along the last axis.
        row: usize,
        /// The target's index in the row.
        column: usize,
        /// The target.
        value: f32,
        /// What it must be.
        reason: String,
    },
    /// An output y is outside the range for which the loss is defined; most often these are logits
    /// where the loss expects probabilities. Reported if the host knows the values: see
    /// `DeviceOptions::checked`.
    #[error("{loss}: the output {value} in row {row}, column {column} {reason}")]
    InvalidOutput {
        /// The loss.
        loss: String,
        /// The row of the output, along the last axis.
        row: usize,
        /// The output's index in the row.
        column: usize,
        /// The output.
        value: f32,
        /// What it must be, and which loss takes such outputs.
        reason: String,
    },
    /// A parameter is not finite, out of its range, or could not be read.
    #[error("{name} = {value}: {reason}")]
    InvalidParameter {
        /// The parameter's name.
        name: String,
        /// The given value; for a long text, its beginning and its length.
        value: String,
        /// What it must be.
        reason: String,
    },
    /// A text that is not a formula.
    #[error("{}", pointed(formula, *position, reason))]
    InvalidFormula {
        /// The formula as given.
        formula: String,
        /// The byte at which something is wrong.
        position: usize,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// WGSL that is not valid, or does more than the functions of an activation may.
    #[error("{}", in_wgsl(*line, *column, excerpt, reason))]
    InvalidWgsl {
        /// The line, from 1 on.
        line: usize,
        /// The character in the line, from 1 on.
        column: usize,
        /// The line's text.
        excerpt: String,
        /// What is wrong.
        reason: String,
    },
    /// A name that is not in the catalogue.
    #[error("unknown {kind} {name:?}; the nearest are: {}", nearest.join(", "))]
    UnknownName {
        /// What was looked for: "activation", "loss" or "parameter".
        kind: &'static str,
        /// The name as given; for a long one, its beginning and its length.
        name: String,
        /// The nearest names of the catalogue, best first.
        nearest: Vec<&'static str>,
    },
    /// A file that cannot be read or written, or does not have what was asked for.
    #[error("{path}: {reason}")]
    File {
        /// The file's path.
        path: String,
        /// What is wrong, and what is there instead.
        reason: String,
    },
    /// More data than the device can hold in one allocation.
    #[error("{what} needs {bytes} bytes, the device's limit is {limit}")]
    TooLarge {
        /// The object that was to be stored.
        what: String,
        /// The number of bytes that it needs.
        bytes: u64,
        /// The device's limit in bytes.
        limit: u64,
    },
    /// The device has no memory left.
    #[error("out of memory on the device while {}", if *bytes > 0 { format!("allocating {bytes} bytes") } else { "running recorded work".to_owned() })]
    OutOfMemory {
        /// The number of bytes requested; 0 if recorded work ran out of memory.
        bytes: u64,
    },
    /// The device is gone: unplugged, reset by the driver, or destroyed by its owner.
    #[error("the device was lost: {reason}")]
    DeviceLost {
        /// The owner that destroyed it, or the driver's message.
        reason: String,
    },
    /// An error that the GPU reported, possibly for an earlier call; or the use of a buffer that
    /// the caller has destroyed, or of a tensor that was never filled because the work that
    /// should have written it failed.
    #[error("the GPU reported an error: {description}")]
    Gpu {
        /// The report.
        description: String,
    },
    /// The operation does not exist for these arguments or on this device.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// The operation that was requested.
        what: String,
        /// The reason, and what to use instead.
        reason: String,
    },
}

/// The reason, and the part of the formula around the place, with a mark below it.
fn pointed(formula: &str, position: usize, reason: &str) -> String {
    let column = formula.get(..position).unwrap_or(formula).chars().count();
    format!("formula, column {}: {reason}\n{}", column + 1, marked(formula, column))
}

fn in_wgsl(line: usize, column: usize, text: &str, reason: &str) -> String {
    let mark = marked(text, column.saturating_sub(1));
    format!("WGSL, line {line}, column {column}: {reason}\n{mark}")
}

/// The part of a line around a character, with a mark below it.
fn marked(line: &str, column: usize) -> String {
    /// The number of characters that are shown before the place.
    const BEFORE: usize = 40;
    let characters = || line.chars().map(|it| if it.is_control() { ' ' } else { it });
    let skipped = column.saturating_sub(BEFORE);
    let is_cut = line.chars().nth(skipped + EXCERPT + BEFORE).is_some();
    let shown: String = characters().skip(skipped).take(EXCERPT + BEFORE).collect();
    let (start, end) = (if skipped > 0 { "…" } else { "" }, if is_cut { "…" } else { "" });
    let indent = " ".repeat(column - skipped + start.chars().count());
    format!("  {start}{shown}{end}\n  {indent}^")
}

/// A guess at what the caller meant by an invalid label.
fn label_hint(label: i32, classes: usize) -> &'static str {
    match usize::try_from(label) {
        Err(_) => "; the loss's ignore_index leaves out rows with such a label",
        Ok(1) if classes == 1 => {
            "; for one output that tells two classes apart take bce_with_logits and dense targets, 0 and 1"
        }
        Ok(label) if label == classes => {
            "; labels count from 0: subtract 1 where yours count from 1"
        }
        Ok(_) => "",
    }
}

/// The properties that tell two devices apart.
fn devices(first: &str, second: &str) -> String {
    if first != second {
        return format!("{first} and {second}");
    }
    format!(
        "{first}, opened twice: each Device::cpu(), Device::new() or Device::open() is a device of its \
         own, and only its clones are the same; open it once and clone it"
    )
}

/// The number of characters of a caller's text that a message quotes.
#[doc(hidden)]
pub const EXCERPT: usize = 60;

/// A caller's text; if it is long, its beginning and its length.
#[doc(hidden)]
pub fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(EXCERPT) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}… ({} bytes in all)", &text[..end], text.len())),
    }
}

impl Error {
    /// An error for a text that cannot be parsed.
    #[doc(hidden)]
    pub fn text(text: &str, reason: impl Into<String>) -> Self {
        Self::InvalidParameter {
            name: "text".to_owned(),
            value: format!("{:?}", excerpt(text)),
            reason: reason.into(),
        }
    }

    #[doc(hidden)]
    pub fn shape(
        op: &'static str,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::ShapeMismatch { op, expected: expected.into(), found: found.to_string() }
    }

    #[doc(hidden)]
    pub fn parameter(
        name: impl Into<String>,
        value: impl std::fmt::Display,
        reason: impl Into<String>,
    ) -> Self {
        Self::InvalidParameter {
            name: excerpt(&name.into()).into_owned(),
            value: excerpt(&value.to_string()).into_owned(),
            reason: reason.into(),
        }
    }
}

/// The crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

//! Activations that are given in WGSL.

use std::error::Error as _;

use naga::valid::{Capabilities, ModuleInfo, ShaderStages, ValidationFlags, Validator};
use naga::{Block, Function, Handle, Module, Scalar, Span, Statement, Type, TypeInner};
use wgrad_formula::expression::{Custom, parse_quoted};

use super::Activation;
use crate::error::{Error, Result};

/// The number of bytes that a text may have.
const TEXT: usize = 16 << 10;

/// The number of bytes of the stack on which a text is read: naga walks down the parts of an expression recursively,
/// and takes 10 KB for each in a debug build.
const STACK: usize = 256 << 20;

/// The number of blocks that may be within each other, `else if` included: what compiles a kernel walks down them
/// recursively too, on a stack of the caller's.
const BLOCKS: usize = 16;

/// What the names of the caller's functions and constants begin with in kernels, so that they meet none of these.
const PREFIX: &str = "custom_";

/// The stages in which a function can be called that only computes.
const STAGES: ShaderStages =
    ShaderStages::VERTEX.union(ShaderStages::FRAGMENT).union(ShaderStages::COMPUTE);

impl Activation {
    /// The activation of functions in WGSL, for GPUs: `forward` is g and `derivative` g'; with a `second_derivative`
    /// there is also g''. Each takes one `z: f32` and returns an `f32`. They may call functions and use constants of
    /// the same text, and everything that WGSL has built in.
    ///
    /// The text is checked at once. NaN in gives NaN out, whatever the functions return for it; apart from this a
    /// result is what they compute, with the accuracy of the driver's built-in functions. A
    /// [formula](Self::from_formula) has accurate functions, derives g', and runs on the CPU too.
    ///
    /// ```
    /// use wgrad::Activation;
    ///
    /// let bent = Activation::from_wgsl(
    ///     "const SLOPE = 0.1;
    ///
    ///      fn forward(z: f32) -> f32 {
    ///          return select(SLOPE * z, z * z, z > 0.0);
    ///      }
    ///
    ///      fn derivative(z: f32) -> f32 {
    ///          return select(SLOPE, 2.0 * z, z > 0.0);
    ///      }",
    /// )?;
    /// assert_eq!(bent.to_string().parse::<Activation>()?, bent);
    ///
    /// let error = Activation::from_wgsl("fn forward(z: f32) -> f32 { return zz; }").unwrap_err();
    /// assert!(error.to_string().starts_with("WGSL, line 1, column 36: no definition"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidWgsl`] with the place if the text is not valid WGSL, lacks one of the functions, or has
    /// anything but functions and constants: bindings, entry points, variables outside functions, `override`,
    /// structures, barriers. Operations on the CPU are [`Error::Unsupported`], and so is g'' without
    /// `second_derivative`.
    pub fn from_wgsl(text: &str) -> Result<Self> {
        if text.len() > TEXT {
            let reason = format!("the text has {} bytes; {TEXT} is the limit", text.len());
            return Err(at(text, None, reason));
        }
        let (functions, has_second_derivative) = on_large_stack(|| checked(text))?;
        Ok(Self::Custom(Custom::of_wgsl(text, &functions, has_second_derivative)))
    }

    /// Reads what `Display` prints for such an activation; `None` for another text.
    pub(super) fn parse_wgsl(text: &str) -> Option<Result<Self>> {
        let call = parse_quoted("wgsl", text)?;
        Some(call.and_then(|call| {
            if let Some((name, value)) = call.parameters.first() {
                return Err(Error::parameter(
                    *name,
                    value,
                    "WGSL has no parameters, only constants",
                ));
            }
            let activation = Self::from_wgsl(call.quoted)?;
            call.name.map_or(Ok(activation), |name| activation.named(name))
        }))
    }
}

/// The error at a place of the text.
fn at(text: &str, place: Option<usize>, reason: impl Into<String>) -> Error {
    let before = place.and_then(|place| text.get(..place)).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    Error::InvalidWgsl {
        line: before.matches('\n').count() + 1,
        column: before[start..].chars().count() + 1,
        excerpt: text[start..].lines().next().unwrap_or_default().to_owned(),
        reason: reason.into(),
    }
}

/// The functions as kernels call them, and whether g'' is among them.
fn checked(text: &str) -> Result<(String, bool)> {
    let mut module = naga::front::wgsl::parse_str(text).map_err(|error| {
        let label = error.labels().next();
        let place = label.and_then(|(span, _)| span.to_range()).map(|range| range.start);
        // Where the message says little, a note says more.
        let reason = error.notes().next().unwrap_or_default();
        let separator = if reason.is_empty() { "" } else { ": " };
        at(text, place, format!("{}{separator}{reason}", error.message()))
    })?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
    let info = info.map_err(|error| {
        let spans = error.spans().filter_map(|(span, _)| span.to_range());
        // The innermost is the most exact.
        let place = spans.min_by_key(|range| range.len()).map(|range| range.start);
        let mut reason = error.as_inner().to_string();
        let mut cause = error.as_inner().source();
        while let Some(error) = cause {
            reason = format!("{reason}: {error}");
            cause = error.source();
        }
        at(text, place, reason)
    })?;
    check_contents(text, &module, &info)?;
    let second_derivative = function(&module, "second_derivative");
    let required = ["forward", "derivative"].map(|name| (name, function(&module, name)));
    for (name, found) in required {
        let found = found.ok_or_else(|| {
            at(text, None, format!("there is no fn {name}(z: f32) -> f32; add it"))
        })?;
        check_signature(text, &module, name, found)?;
    }
    if let Some(found) = second_derivative {
        check_signature(text, &module, "second_derivative", found)?;
    }
    rename(&mut module);
    flatten(&mut module);
    let unprintable = |error: &dyn std::fmt::Display| at(text, None, error.to_string());
    // The names of types are part of what is known of them.
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .map_err(|error| unprintable(error.as_inner()))?;
    let flags = naga::back::wgsl::WriterFlags::empty();
    let mut functions = naga::back::wgsl::write_string(&module, &info, flags)
        .map_err(|error| unprintable(&error))?;
    let has_second_derivative = second_derivative.is_some();
    let names = ["forward", "derivative", "second_derivative"];
    for name in &names[..2 + usize::from(has_second_derivative)] {
        functions += &format!("\nfn {name}(z: f32) -> f32 {{\n    return {PREFIX}{name}(z);\n}}\n");
    }
    Ok((functions, has_second_derivative))
}

/// Checks that there is nothing but constants and functions that only compute.
fn check_contents(text: &str, module: &Module, info: &ModuleInfo) -> Result<()> {
    let start = |span: Span| span.to_range().map(|range| range.start);
    if let Some(entry) = module.entry_points.first() {
        let place = text.find(&format!("fn {}", entry.name));
        let reason = format!("{} is an entry point; wgrad's kernels have their own", entry.name);
        return Err(at(text, place, reason));
    }
    if let Some((variable, _)) = module.global_variables.iter().next() {
        let place = start(module.global_variables.get_span(variable));
        return Err(at(
            text,
            place,
            "a variable outside of functions; only constants can be there",
        ));
    }
    if let Some((constant, _)) = module.overrides.iter().next() {
        let place = start(module.overrides.get_span(constant));
        return Err(at(text, place, "an override; use const"));
    }
    for (handle, of) in module.types.iter() {
        // Built-in functions return some that cannot be written.
        let is_built_in = module.special_types.predeclared_types.values().any(|it| *it == handle);
        if matches!(of.inner, TypeInner::Struct { .. }) && !is_built_in {
            let place = start(module.types.get_span(handle));
            return Err(at(
                text,
                place,
                "a structure; only functions and constants can be declared",
            ));
        }
    }
    for (handle, function) in module.functions.iter() {
        if depth(&function.body) > BLOCKS {
            let reason = format!("more than {BLOCKS} blocks within each other");
            return Err(at(text, start(module.functions.get_span(handle)), reason));
        }
        let info = &info[handle];
        if info.may_kill || !info.available_stages.contains(STAGES) {
            let name = function.name.as_deref().unwrap_or_default();
            let reason = format!(
                "{name} calls what does more than to compute: a barrier, a derivative of a \
                 fragment, or discard"
            );
            return Err(at(text, start(module.functions.get_span(handle)), reason));
        }
    }
    Ok(())
}

/// The number of blocks within each other.
fn depth(block: &Block) -> usize {
    let inner = block.iter().map(|statement| match statement {
        Statement::Block(inner) => depth(inner),
        Statement::If { accept, reject, .. } => depth(accept).max(depth(reject)),
        Statement::Loop { body, continuing, .. } => depth(body).max(depth(continuing)),
        Statement::Switch { cases, .. } => {
            cases.iter().map(|case| depth(&case.body)).max().unwrap_or(0)
        }
        _ => 0,
    });
    1 + inner.max().unwrap_or(0)
}

fn function(module: &Module, name: &str) -> Option<Handle<Function>> {
    module.functions.iter().find(|(_, it)| it.name.as_deref() == Some(name)).map(|(it, _)| it)
}

fn check_signature(
    text: &str,
    module: &Module,
    name: &str,
    handle: Handle<Function>,
) -> Result<()> {
    let function = &module.functions[handle];
    let is_f32 = |of: Handle<Type>| module.types[of].inner == TypeInner::Scalar(Scalar::F32);
    let takes_one = matches!(&function.arguments[..], [argument] if is_f32(argument.ty));
    if takes_one && function.result.as_ref().is_some_and(|result| is_f32(result.ty)) {
        return Ok(());
    }
    let place = module.functions.get_span(handle).to_range().map(|range| range.start);
    Err(at(text, place, format!("must be fn {name}(z: f32) -> f32")))
}

/// Gives all functions and constants names that begin with [`PREFIX`].
fn rename(module: &mut Module) {
    let prefix = |name: &mut Option<String>| {
        if let Some(name) = name {
            *name = format!("{PREFIX}{name}");
        }
    };
    module.functions.iter_mut().for_each(|(_, function)| prefix(&mut function.name));
    module.constants.iter_mut().for_each(|(_, constant)| prefix(&mut constant.name));
}

/// Gives each result of an operation a name, so that it is written as a statement of its own: what compiles the text
/// again walks down no long expression.
fn flatten(module: &mut Module) {
    use naga::Expression as E;
    for (_, function) in module.functions.iter_mut() {
        for (handle, expression) in function.expressions.iter() {
            let is_operation = matches!(
                expression,
                E::Binary { .. }
                    | E::Unary { .. }
                    | E::Math { .. }
                    | E::Select { .. }
                    | E::As { .. }
            );
            if is_operation {
                function.named_expressions.entry(handle).or_insert_with(|| "part".to_owned());
            }
        }
    }
}

/// Runs work that may need much stack.
fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    // Without threads, the host's stack has to do.
    if cfg!(target_family = "wasm") {
        return work();
    }
    let failed = |reason: String| Error::Unsupported { what: "a check of WGSL".to_owned(), reason };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let thread =
            thread.map_err(|error| failed(format!("no thread can be started: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(failed("naga does not get through it".to_owned())))
    })
}

//! Parameters of functions that are passed with each dispatch instead of being constants of the kernel: a
//! number that changes at every step does not need a new kernel.

/// The WGSL with these numbers as the last fields of `struct Parameters`, instead of `override` constants of the
/// same names.
pub(super) fn with_numbers(wgsl: &str, numbers: &[(&str, f32)]) -> String {
    let mut lines = Vec::new();
    let mut is_in_parameters = false;
    for line in wgsl.lines() {
        let constant = line.strip_prefix("override ").and_then(|rest| rest.split_once(':'));
        let is_number = |&(name, _): &(&str, f32)| constant.is_some_and(|it| it.0 == name);
        if let Some((name, _)) = numbers.iter().find(|number| is_number(number)) {
            lines.push(format!("var<private> {name}: f32;"));
            continue;
        }
        if line == "const NUMBERS_ARE_CONSTANTS: bool = true;" {
            lines.push(line.replace("true", "false"));
            continue;
        }
        is_in_parameters |= line == "struct Parameters {";
        if is_in_parameters && line == "}" {
            lines.extend(numbers.iter().map(|(name, _)| format!("    {name}: f32,")));
            is_in_parameters = false;
        }
        lines.push(line.to_owned());
        // The first line of main.
        if line == "    opaque_zero = parameters.zero;" {
            lines
                .extend(numbers.iter().map(|(name, _)| format!("    {name} = parameters.{name};")));
        }
    }
    lines.join("\n") + "\n"
}

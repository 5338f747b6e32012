//! What must hold for every text, whether it is a formula or not. `formula/tests/corpus.rs` checks it for the kept texts.

use wgrad_formula::expression::{Graph, Id, Names, Program, With, build, recognise};

const VARIABLES: &[&str] = &["z"];
const PARAMETERS: &[&str] = &["a", "b"];
const NAMES: Names<'_> = Names { variables: VARIABLES, parameters: PARAMETERS };

/// A text is a formula, or an error at a place in the text.
pub fn parse(text: &str) {
    if let Err(trouble) = build(&mut Graph::default(), text, VARIABLES, PARAMETERS) {
        assert!(text.is_char_boundary(trouble.at), "{} of {text:?}", trouble.at);
        assert!(!trouble.reason.is_empty());
    }
}

/// A formula has derivatives that are the slopes of its values, and texts that are formulas again.
pub fn derive(text: &str) {
    let mut graph = Graph::default();
    let Ok(root) = build(&mut graph, text, VARIABLES, PARAMETERS) else { return };
    let Some(first) = graph.derivative(root, With::Variable(0)) else { return };
    let Some(second) = graph.derivative(first, With::Variable(0)) else { return };
    let partial = graph.derivative(root, With::Parameter(1));
    recognise(&mut graph, root);
    for id in [Some(root), Some(first), Some(second), partial].into_iter().flatten() {
        check_text(&graph, id);
        let Some(program) = Program::new(&graph, id) else { continue };
        let wgsl = program.wgsl("f", "g_", VARIABLES, &["g_a", "g_b"]);
        assert!(wgsl.is_ascii() && wgsl.ends_with("}\n"), "{wgsl}");
        for z in [f32::NAN, f32::INFINITY, -1e4, -0.0, 1e-40, 3.0] {
            program.evaluate(&[z], &[0.7, 1.3]);
            program.evaluate(&[f64::from(z)], &[0.7, 1.3]);
        }
    }
    let programs = [root, first, second].map(|id| Program::new(&graph, id));
    let [Some(value), Some(first), Some(second)] = programs else { return };
    check_slope(text, &value, &first);
    check_slope(text, &first, &second);
}

/// The text and the LaTeX can be written, and the text is a formula unless it is too long for one, or gives its parts
/// names: `v1 = z^2; v1 + v1^2`.
fn check_text(graph: &Graph, id: Id) {
    let text = graph.text(id, NAMES);
    assert!(!graph.latex(id, NAMES).is_empty());
    if text.contains(" = ") {
        return;
    }
    if let Err(trouble) = build(&mut Graph::default(), &text, VARIABLES, PARAMETERS) {
        let is_limit = ["at most", "limit"].iter().any(|it| trouble.reason.contains(it));
        assert!(is_limit, "{text}: {}", trouble.reason);
    }
}

/// Compares a derivative with differences, at arguments at which these say anything.
fn check_slope(text: &str, of: &Program, slope: &Program) {
    for z in [0.313_7, -0.771_3, 1.903_1] {
        let at = |program: &Program, z: f64| program.evaluate(&[z], &[0.7, 1.3]);
        let difference = |step: f64| (at(of, z + step) - at(of, z - step)) / (2.0 * step);
        let estimates = [1e-4, 1e-5, 3e-6].map(difference);
        let found = at(slope, z);
        let size = 1e-3 * (found.abs() + at(of, z).abs() + 1.0);
        let is_near = |other: f64| (other - estimates[0]).abs() < size;
        let around = [1e-4, 1e-5, 3e-6].map(|step| [at(slope, z - step), at(slope, z + step)]);
        let is_smooth = around.as_flattened().iter().all(|other| (other - found).abs() < size);
        if estimates.into_iter().all(is_near) && is_smooth && size < 1e3 {
            assert!(
                (found - estimates[1]).abs() < 10.0 * size,
                "{text} at {z}: {found} {estimates:?}"
            );
        }
    }
}

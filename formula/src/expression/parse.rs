//! Formulas as text.

use winnow::ascii::float;
use winnow::combinator::{Infix, Prefix, expression, fail, opt, preceded, separated};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Stateful, Stream};
use winnow::token::{any, literal, take_while};

use super::graph::{Binary, Comparison};

/// The number of bytes that a formula may have.
pub const BYTES: usize = 4096;

/// The number of numbers, names and operators that a formula may have.
pub const PARTS: usize = 512;

/// The number of parentheses that may be open at a time.
pub const NESTING: usize = 48;

/// The place of a part among those of a [`Syntax`].
pub type Place = usize;

/// A part of a formula, with the place of its first byte in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Where it begins.
    pub at: usize,
}

/// What a part of a formula is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A number.
    Number(f64),
    /// A variable, a parameter or a constant.
    Name(String),
    /// A function with its arguments, and those that are given by name.
    Call(String, Vec<Place>, Vec<(String, Place)>),
    /// `−x`
    Negate(Place),
    /// A function of two numbers.
    Binary(Binary, [Place; 2]),
    /// A comparison.
    Compare(Compare, [Place; 2]),
}

/// A comparison as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// One that is taken as it stands.
    Plain(Comparison),
    /// One whose sides are exchanged.
    Exchanged(Comparison),
    /// `!=`
    Different,
}

/// The parts of a formula; each comes after those that it is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Syntax {
    /// All parts.
    pub parts: Vec<Part>,
    /// The whole.
    pub root: Place,
}

/// What is wrong with a formula, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The place in the text, in bytes.
    pub at: usize,
    /// What is wrong, and what was expected.
    pub reason: String,
}

impl Trouble {
    /// What is wrong at this place.
    pub fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }
}

/// The state of a parser.
#[derive(Debug, Default)]
struct State {
    parts: Vec<Part>,
    count: usize,
    nesting: usize,
}

type Input<'a, 's> = Stateful<LocatingSlice<&'a str>, &'s mut State>;

impl<'a, 's> ParserError<Input<'a, 's>> for Trouble {
    type Inner = Self;

    fn from_input(input: &Input<'a, 's>) -> Self {
        Self::new(input.current_token_start(), "")
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

type Parsed<T> = ModalResult<T, Trouble>;

/// The parts of the text.
///
/// # Errors
/// The first place at which the text is not a formula.
pub fn parse(text: &str) -> Result<Syntax, Trouble> {
    if text.len() > BYTES {
        let reason = format!("the formula has {} bytes; at most {BYTES} are allowed", text.len());
        return Err(Trouble::new(0, reason));
    }
    if let Some((at, character)) = text.char_indices().find(|(_, it)| !it.is_ascii()) {
        return Err(Trouble::new(at, foreign(character)));
    }
    let mut state = State::default();
    let mut input = Input { input: LocatingSlice::new(text), state: &mut state };
    let root = sum(&mut input).map_err(|error| match error {
        ErrMode::Backtrack(trouble) | ErrMode::Cut(trouble) => trouble,
        ErrMode::Incomplete(_) => Trouble::new(text.len(), "the formula ends here"),
    })?;
    let at = input.current_token_start();
    if let Some(found) = text[at..].chars().next() {
        let reason = match found {
            ')' => "this parenthesis was not opened".to_owned(),
            '(' => "expected an operator; write * for a product".to_owned(),
            _ => format!("expected an operator or the end, found {found:?}"),
        };
        return Err(Trouble::new(at, reason));
    }
    Ok(Syntax { parts: state.parts, root })
}

/// What to write in place of a character that is not ASCII.
fn foreign(character: char) -> String {
    let instead = match character {
        '·' | '×' | '∙' | '⋅' | '∗' => "; write *",
        '−' | '–' | '—' | '‐' => "; write -",
        '÷' | '∕' | '⁄' => "; write /",
        '²' => "; write ^2",
        '³' => "; write ^3",
        '√' => "; write sqrt(…)",
        '≤' => "; write <=",
        '≥' => "; write >=",
        '≠' => "; write !=",
        'σ' => "; write sigmoid(…), or sigma for a parameter",
        'α'..='ω' => "; spell the letter out, as in beta",
        _ => "",
    };
    let escaped = character.escape_unicode();
    format!("{character:?} ({escaped}) is not a character of formulas{instead}")
}

fn cut<T>(at: usize, reason: impl Into<String>) -> Parsed<T> {
    Err(ErrMode::Cut(Trouble::new(at, reason)))
}

fn spaces(input: &mut Input<'_, '_>) -> Parsed<()> {
    take_while(0.., |character: char| character.is_ascii_whitespace()).void().parse_next(input)
}

/// Counts a number, a name or an operator.
fn count(input: &mut Input<'_, '_>) -> Parsed<()> {
    input.state.count += 1;
    if input.state.count > PARTS {
        let reason = format!(
            "more than {PARTS} numbers, names and operators, which is the most that a formula may have"
        );
        return cut(input.current_token_start(), reason);
    }
    Ok(())
}

fn push(input: &mut Input<'_, '_>, kind: Kind, at: usize) -> Place {
    input.state.parts.push(Part { kind, at });
    input.state.parts.len() - 1
}

/// Adds an operator; the parser looks at each more than once before that.
fn pair(input: &mut Input<'_, '_>, kind: Kind, first: Place) -> Parsed<Place> {
    if !matches!(kind, Kind::Negate(_)) {
        count(input)?;
    }
    let at = input.state.parts[first].at;
    Ok(push(input, kind, at))
}

fn sum(input: &mut Input<'_, '_>) -> Parsed<Place> {
    expression(operand).prefix(prefix).infix(infix).parse_next(input)
}

fn prefix<'a, 's>(
    input: &mut Input<'a, 's>,
) -> Parsed<Prefix<Input<'a, 's>, Place, ErrMode<Trouble>>> {
    preceded(spaces, literal("-")).parse_next(input)?;
    count(input)?;
    Ok(Prefix(25, |input, x| pair(input, Kind::Negate(x), x)))
}

fn infix<'a, 's>(
    input: &mut Input<'a, 's>,
) -> Parsed<Infix<Input<'a, 's>, Place, ErrMode<Trouble>>> {
    macro_rules! binary {
        ($function:ident) => {
            |input, a, b| pair(input, Kind::Binary(Binary::$function, [a, b]), a)
        };
    }
    macro_rules! compare {
        ($comparison:expr) => {
            |input, a, b| pair(input, Kind::Compare($comparison, [a, b]), a)
        };
    }
    use Comparison::{Equal, Less, LessOrEqual};
    spaces.parse_next(input)?;
    let start = input.checkpoint();
    let at = input.current_token_start();
    let operator = match any.parse_next(input)? {
        '+' => Infix::Left(10, binary!(Add)),
        '-' => Infix::Left(10, binary!(Subtract)),
        '*' if opt(literal("*")).parse_next(input)?.is_some() => Infix::Right(30, binary!(Power)),
        '*' => Infix::Left(20, binary!(Multiply)),
        '/' => Infix::Left(20, binary!(Divide)),
        '^' => Infix::Right(30, binary!(Power)),
        sign @ ('<' | '>' | '=' | '!') => {
            let is_longer = opt(literal("=")).parse_next(input)?.is_some();
            match (sign, is_longer) {
                ('<', false) => Infix::Neither(5, compare!(Compare::Plain(Less))),
                ('<', true) => Infix::Neither(5, compare!(Compare::Plain(LessOrEqual))),
                ('>', false) => Infix::Neither(5, compare!(Compare::Exchanged(Less))),
                ('>', true) => Infix::Neither(5, compare!(Compare::Exchanged(LessOrEqual))),
                ('=', true) => Infix::Neither(5, compare!(Compare::Plain(Equal))),
                ('!', true) => Infix::Neither(5, compare!(Compare::Different)),
                // A named argument, or an error that its caller reports.
                _ => {
                    input.reset(&start);
                    return cut(at, format!("expected {sign}= for a comparison"));
                }
            }
        }
        _ => {
            input.reset(&start);
            return fail.parse_next(input);
        }
    };
    Ok(operator)
}

fn operand(input: &mut Input<'_, '_>) -> Parsed<Place> {
    spaces.parse_next(input)?;
    let at = input.current_token_start();
    let place = match opt(winnow::combinator::peek(any)).parse_next(input)? {
        Some('0'..='9' | '.') => number(input, at)?,
        Some(letter) if letter.is_ascii_alphabetic() || letter == '_' => named(input, at)?,
        Some('(') => {
            any.void().parse_next(input)?;
            nested(input, at, sum)?
        }
        // This begins an operand too, but is the prefix parser's.
        Some('-') => return fail.parse_next(input),
        Some(found) => {
            return cut(at, format!("expected a number, a name or '(', found {found:?}"));
        }
        None => {
            return cut(at, "expected a number, a name or '(', but the formula ends here");
        }
    };
    spaces.parse_next(input)?;
    Ok(place)
}

/// What stands in parentheses, up to the closing one.
fn nested<'a, 's, T>(
    input: &mut Input<'a, 's>,
    opened: usize,
    mut inside: impl FnMut(&mut Input<'a, 's>) -> Parsed<T>,
) -> Parsed<T> {
    input.state.nesting += 1;
    if input.state.nesting > NESTING {
        let reason =
            format!("more than {NESTING} parentheses are open; at most {NESTING} are allowed");
        return cut(opened, reason);
    }
    let result = inside(input)?;
    spaces.parse_next(input)?;
    let at = input.current_token_start();
    match opt(any).parse_next(input)? {
        Some(')') => {}
        Some(found) => return cut(at, format!("expected an operator or ')', found {found:?}")),
        None => return cut(opened, "this parenthesis is not closed"),
    }
    input.state.nesting -= 1;
    Ok(result)
}

fn number(input: &mut Input<'_, '_>, at: usize) -> Parsed<Place> {
    count(input)?;
    let value: f64 = match opt(float).parse_next(input)? {
        Some(value) => value,
        None => return cut(at, "expected a number such as 0.5 or 1e-3"),
    };
    if !value.is_finite() || value.abs() > f64::from(f32::MAX) {
        let most = f32::MAX;
        return cut(at, format!("the number is too large: at most {most:e} is allowed"));
    }
    let next = opt(winnow::combinator::peek(any)).parse_next(input)?;
    if next.is_some_and(|it: char| it.is_ascii_alphabetic() || it == '_' || it == '.') {
        let at = input.current_token_start();
        return cut(at, "expected an operator after the number; write * for a product");
    }
    Ok(push(input, Kind::Number(value), at))
}

fn identifier(input: &mut Input<'_, '_>) -> Parsed<String> {
    let name = take_while(1.., |it: char| it.is_ascii_alphanumeric() || it == '_');
    name.map(|name: &str| name.to_owned()).parse_next(input)
}

fn named(input: &mut Input<'_, '_>, at: usize) -> Parsed<Place> {
    count(input)?;
    let name = identifier(input)?;
    spaces.parse_next(input)?;
    let opened = input.current_token_start();
    if opt(literal("(")).parse_next(input)?.is_none() {
        return Ok(push(input, Kind::Name(name), at));
    }
    let arguments: Vec<(Option<String>, Place)> = nested(input, opened, |input| {
        spaces.parse_next(input)?;
        if input.input.starts_with(')') {
            return Ok(Vec::new());
        }
        separated(1.., argument, preceded(spaces, literal(","))).parse_next(input)
    })?;
    let (mut positional, mut by_name) = (Vec::new(), Vec::new());
    for (key, place) in arguments {
        match key {
            None if by_name.is_empty() => positional.push(place),
            None => {
                let at = input.state.parts[place].at;
                return cut(at, "arguments without a name come before those with one");
            }
            Some(key) => by_name.push((key, place)),
        }
    }
    Ok(push(input, Kind::Call(name, positional, by_name), at))
}

fn argument(input: &mut Input<'_, '_>) -> Parsed<(Option<String>, Place)> {
    spaces.parse_next(input)?;
    let start = input.checkpoint();
    if let Some(key) = opt(identifier).parse_next(input)? {
        spaces.parse_next(input)?;
        let rest: &str = &input.input;
        if rest.starts_with('=') && !rest.starts_with("==") {
            any.void().parse_next(input)?;
            return Ok((Some(key), sum(input)?));
        }
    }
    input.reset(&start);
    Ok((None, sum(input)?))
}

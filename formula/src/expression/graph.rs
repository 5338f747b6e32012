//! Expressions as graphs: equal subexpressions are one node, and building a node simplifies it.
//!
//! A node comes after the nodes that it is made of, so passes over a graph are loops, never recursions.

use std::collections::HashMap;
use std::f64::consts::FRAC_1_SQRT_2;

use super::program::{binary_value, unary_value};

/// A node of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u32);

impl Id {
    /// The place of the node among those of its graph.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `−x`
    Negate,
    /// `e^x`
    Exp,
    /// `e^x − 1`
    Expm1,
    /// `ln x`
    Log,
    /// `ln(1 + x)`
    Log1p,
    /// `tanh x`
    Tanh,
    /// `1 − tanh² x`
    TanhSlope,
    /// `σ(x) = 1 / (1 + e^−x)`
    Sigmoid,
    /// `σ(x)·σ(−x)`
    SigmoidSlope,
    /// `σ(x)·(1 + x·σ(−x))`, the derivative of `x·σ(x)`
    SiluSlope,
    /// `ln(1 + e^x)`
    Softplus,
    /// The error function.
    Erf,
    /// `1 − erf x`
    Erfc,
    /// `Φ(x)`, the normal distribution function.
    NormalCdf,
    /// `sin x`
    Sin,
    /// `cos x`
    Cos,
    /// `arctan x`
    Atan,
    /// `√x`
    Sqrt,
    /// `|x|`
    Abs,
    /// −1, 0 or 1
    Sign,
    /// `max(x, 0)`, whose derivative at 0 is 0.
    Relu,
    /// 1 if x > 0, otherwise 0
    Step,
}

/// A function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a − b`
    Subtract,
    /// `a·b`
    Multiply,
    /// `a / b`
    Divide,
    /// `a^b`
    Power,
    /// The smaller number.
    Min,
    /// The greater number.
    Max,
}

/// A comparison of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `a < b`
    Less,
    /// `a <= b`
    LessOrEqual,
    /// `a == b`
    Equal,
}

/// A piece of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// An argument of the function, by its place.
    Variable(u8),
    /// A parameter, by its place.
    Parameter(u8),
    /// The bits of a finite f64.
    Number(u64),
    /// A function of one node.
    Unary(Unary, Id),
    /// A function of two nodes.
    Binary(Binary, [Id; 2]),
    /// `if a ? b { c } else { d }`
    Select(Comparison, [Id; 4]),
}

impl Node {
    /// The nodes that this one is made of.
    pub fn operands(&self) -> impl Iterator<Item = Id> {
        let operands: [Option<Id>; 4] = match *self {
            Self::Variable(_) | Self::Parameter(_) | Self::Number(_) => [None; 4],
            Self::Unary(_, x) => [Some(x), None, None, None],
            Self::Binary(_, [a, b]) => [Some(a), Some(b), None, None],
            Self::Select(_, operands) => operands.map(Some),
        };
        operands.into_iter().flatten()
    }
}

/// Expressions that share their nodes.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    known: HashMap<Node, Id>,
}

impl Graph {
    /// The node with this number.
    pub fn node(&self, id: Id) -> Node {
        self.nodes[id.index()]
    }

    /// The number of nodes.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    fn intern(&mut self, node: Node) -> Id {
        let next = Id(self.nodes.len() as u32);
        *self.known.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            next
        })
    }

    /// An argument of the function.
    pub fn variable(&mut self, place: u8) -> Id {
        self.intern(Node::Variable(place))
    }

    /// A parameter.
    pub fn parameter(&mut self, place: u8) -> Id {
        self.intern(Node::Parameter(place))
    }

    /// A constant; −0 becomes 0.
    pub fn number(&mut self, value: f64) -> Id {
        self.intern(Node::Number((value + 0.0).to_bits()))
    }

    /// The value, if the node is a constant.
    pub fn value(&self, id: Id) -> Option<f64> {
        match self.node(id) {
            Node::Number(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// The constant 1, if the graph has it.
    pub(super) fn one(&self) -> Option<Id> {
        self.known.get(&Node::Number(1.0_f64.to_bits())).copied()
    }

    fn is(&self, id: Id, value: f64) -> bool {
        self.value(id) == Some(value)
    }

    /// The operand, if the node is this function of it.
    fn operand(&self, function: Unary, id: Id) -> Option<Id> {
        match self.node(id) {
            Node::Unary(found, x) if found == function => Some(x),
            _ => None,
        }
    }

    fn operands(&self, function: Binary, id: Id) -> Option<[Id; 2]> {
        match self.node(id) {
            Node::Binary(found, operands) if found == function => Some(operands),
            _ => None,
        }
    }

    /// The constant, if it is finite; otherwise the node.
    fn folded(&mut self, value: f64, node: Node) -> Id {
        if value.is_finite() { self.number(value) } else { self.intern(node) }
    }

    /// A function of a node.
    pub fn unary(&mut self, function: Unary, x: Id) -> Id {
        let node = Node::Unary(function, x);
        if let Some(value) = self.value(x) {
            return self.folded(unary_value(function, value), node);
        }
        match function {
            Unary::Negate => self.negate(x),
            Unary::Log => self.log(x),
            Unary::Log1p => match self.operand(Unary::Exp, x) {
                Some(power) => self.unary(Unary::Softplus, power),
                None => self.intern(node),
            },
            // erfc(∓x/√2) = 2·Φ(±x), whose argument is not rounded.
            Unary::Erfc => match self.coefficient(x) {
                (factor, rest) if (factor.abs() - FRAC_1_SQRT_2).abs() < 1e-9 => {
                    let argument = if factor > 0.0 { self.negate(rest) } else { rest };
                    let half = self.unary(Unary::NormalCdf, argument);
                    self.scaled(2.0, half)
                }
                _ => self.intern(node),
            },
            Unary::Abs | Unary::SigmoidSlope | Unary::TanhSlope | Unary::Cos => {
                // These are even.
                match self.coefficient(x) {
                    (factor, _) if factor < 0.0 => {
                        let opposite = self.negate(x);
                        self.intern(Node::Unary(function, opposite))
                    }
                    _ => self.intern(node),
                }
            }
            _ => self.intern(node),
        }
    }

    /// `−x`
    pub fn negate(&mut self, x: Id) -> Id {
        match self.node(x) {
            Node::Number(bits) => self.number(-f64::from_bits(bits)),
            Node::Unary(Unary::Negate, inner) => inner,
            Node::Binary(Binary::Subtract, [a, b]) => self.subtract(b, a),
            Node::Binary(Binary::Multiply, _) if self.coefficient(x).0 != 1.0 => {
                self.scaled(-1.0, x)
            }
            Node::Binary(Binary::Divide, [a, b]) if self.coefficient(a).0 != 1.0 => {
                let a = self.negate(a);
                self.divide(a, b)
            }
            _ => self.intern(Node::Unary(Unary::Negate, x)),
        }
    }

    fn log(&mut self, x: Id) -> Id {
        if let Some(power) = self.operand(Unary::Exp, x) {
            return power;
        }
        if let Some(logit) = self.operand(Unary::Sigmoid, x) {
            let opposite = self.negate(logit);
            let loss = self.unary(Unary::Softplus, opposite);
            return self.negate(loss);
        }
        match self.operands(Binary::Add, x) {
            Some([one, rest]) if self.is(one, 1.0) => self.unary(Unary::Log1p, rest),
            _ => self.intern(Node::Unary(Unary::Log, x)),
        }
    }

    /// `a + b`
    pub fn add(&mut self, a: Id, b: Id) -> Id {
        self.sum(a, (1.0, b))
    }

    /// `a − b`
    pub fn subtract(&mut self, a: Id, b: Id) -> Id {
        self.sum(a, (-1.0, b))
    }

    fn sum(&mut self, a: Id, (sign, b): (f64, Id)) -> Id {
        let mut sum = Sum::default();
        sum.take(self, 1.0, a);
        sum.take(self, sign, b);
        let is_finite = |value: &f64| value.is_finite();
        if !is_finite(&sum.constant) || !sum.terms.iter().all(|(factor, _)| is_finite(factor)) {
            let function = if sign > 0.0 { Binary::Add } else { Binary::Subtract };
            return self.intern(Node::Binary(function, [a, b]));
        }
        sum.node(self)
    }

    /// A function that is accurate where `1 ± x` is not, if there is one.
    fn one_plus(&mut self, sign: f64, x: Id) -> Option<Id> {
        let node = match (self.node(x), sign > 0.0) {
            (Node::Unary(Unary::Sigmoid, x), false) => {
                let opposite = self.negate(x);
                self.unary(Unary::Sigmoid, opposite)
            }
            (Node::Unary(Unary::Erf, x), is_sum) => {
                let argument = if is_sum { self.negate(x) } else { x };
                self.unary(Unary::Erfc, argument)
            }
            (Node::Unary(Unary::Erfc, x), false) => self.unary(Unary::Erf, x),
            (Node::Unary(Unary::NormalCdf, x), false) => {
                let opposite = self.negate(x);
                self.unary(Unary::NormalCdf, opposite)
            }
            (Node::Unary(Unary::Tanh, x), _) => {
                let twice = self.scaled(2.0 * sign, x);
                let sigmoid = self.unary(Unary::Sigmoid, twice);
                self.scaled(2.0, sigmoid)
            }
            (Node::Unary(Unary::TanhSlope, x), false) => {
                let (tanh, two) = (self.unary(Unary::Tanh, x), self.number(2.0));
                self.power(tanh, two)
            }
            (Node::Unary(Unary::Exp, power), false) => {
                let rest = self.unary(Unary::Expm1, power);
                self.negate(rest)
            }
            (Node::Unary(Unary::Expm1, power), true) => self.unary(Unary::Exp, power),
            (Node::Binary(Binary::Power, [base, exponent]), false) if self.is(exponent, 2.0) => {
                match self.node(base) {
                    Node::Unary(Unary::Tanh, x) => self.unary(Unary::TanhSlope, x),
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(node)
    }

    /// The constant factor of a product, and the rest; 1 and the node itself if there is none.
    fn coefficient(&self, x: Id) -> (f64, Id) {
        match self.node(x) {
            Node::Unary(Unary::Negate, inner) => (-1.0, inner),
            Node::Binary(Binary::Multiply, [a, b]) => match self.value(a) {
                Some(factor) => (factor, b),
                None => (1.0, x),
            },
            _ => (1.0, x),
        }
    }

    fn scaled(&mut self, factor: f64, x: Id) -> Id {
        let factor = self.number(factor);
        self.multiply(factor, x)
    }

    /// `a·b`
    pub fn multiply(&mut self, a: Id, b: Id) -> Id {
        let mut product = Product { coefficient: 1.0, factors: Vec::new() };
        product.take(self, a);
        product.take(self, b);
        if !product.coefficient.is_finite() {
            return self.intern(Node::Binary(Binary::Multiply, [a, b]));
        }
        product.node(self)
    }

    /// `a / b`
    pub fn divide(&mut self, a: Id, b: Id) -> Id {
        if let Some(divisor) = self.value(b) {
            let inverse = 1.0 / divisor;
            if inverse.is_finite() && inverse != 0.0 {
                // One rounding, if the numerator is a constant too.
                return match self.value(a) {
                    Some(x) => self.folded(x / divisor, Node::Binary(Binary::Divide, [a, b])),
                    None => self.scaled(inverse, a),
                };
            }
        }
        if self.is(a, 0.0) {
            return a;
        }
        if a == b {
            return self.number(1.0);
        }
        if let Some(b) = self.operand(Unary::Negate, b) {
            let quotient = self.divide(a, b);
            return self.negate(quotient);
        }
        // 1 / (1 + e^x) = σ(−x)
        if let Some([one, power]) = self.operands(Binary::Add, b)
            && self.is(one, 1.0)
            && let Some(x) = self.operand(Unary::Exp, power)
        {
            let opposite = self.negate(x);
            let sigmoid = self.unary(Unary::Sigmoid, opposite);
            return self.multiply(a, sigmoid);
        }
        if let Some([c, d]) = self.operands(Binary::Divide, a) {
            let divisor = self.multiply(d, b);
            return self.divide(c, divisor);
        }
        if let Some([c, d]) = self.operands(Binary::Divide, b) {
            let numerator = self.multiply(a, d);
            return self.divide(numerator, c);
        }
        if let Some(quotient) = self.cancelled(a, b) {
            return quotient;
        }
        if let Some(power) = self.operand(Unary::Exp, b) {
            let opposite = self.negate(power);
            let inverse = self.unary(Unary::Exp, opposite);
            return self.multiply(a, inverse);
        }
        let (factor, rest) = self.coefficient(b);
        if factor != 1.0 && factor != -1.0 && factor != 0.0 && (1.0 / factor).is_finite() {
            let a = self.scaled(1.0 / factor, a);
            return self.divide(a, rest);
        }
        let (factor, rest) = self.coefficient(a);
        if factor != 1.0 && self.value(a).is_none() {
            let quotient = self.divide(rest, b);
            return self.scaled(factor, quotient);
        }
        self.intern(Node::Binary(Binary::Divide, [a, b]))
    }

    /// The quotient without the factors that both products have; `None` if they share none.
    fn cancelled(&mut self, a: Id, b: Id) -> Option<Id> {
        let [mut numerator, mut divisor] = [a, b].map(|x| {
            let mut product = Product { coefficient: 1.0, factors: Vec::new() };
            product.take(self, x);
            product
        });
        let mut is_shorter = false;
        for (factor, exponent) in &mut numerator.factors {
            let Some((_, other)) = divisor.factors.iter_mut().find(|(known, _)| known == factor)
            else {
                continue;
            };
            let common = exponent.min(*other);
            *exponent -= common;
            *other -= common;
            is_shorter |= common > 0.0;
        }
        if !is_shorter {
            return None;
        }
        let [a, b] = [numerator, divisor].map(|mut product| {
            product.factors.retain(|(_, exponent)| *exponent != 0.0);
            product.node(self)
        });
        Some(self.divide(a, b))
    }

    /// `a^b`
    pub fn power(&mut self, a: Id, b: Id) -> Id {
        let node = Node::Binary(Binary::Power, [a, b]);
        match (self.value(a), self.value(b)) {
            (Some(x), Some(y)) => return self.folded(x.powf(y), node),
            (_, Some(0.0)) => return self.number(1.0),
            (_, Some(1.0)) => return a,
            (_, Some(0.5)) => return self.unary(Unary::Sqrt, a),
            (_, Some(y)) if y < 0.0 => {
                let (one, exponent) = (self.number(1.0), self.number(-y));
                let power = self.power(a, exponent);
                return self.divide(one, power);
            }
            // e^x, for the e that a text can hold.
            (Some(x), None) if x == std::f64::consts::E => return self.unary(Unary::Exp, b),
            _ => {}
        }
        // (x^m)^n for integers, and |x|^n for even n.
        if let Some(y) = self.value(b).filter(|y| y.fract() == 0.0) {
            if let Some([base, exponent]) = self.operands(Binary::Power, a)
                && let Some(x) = self.value(exponent).filter(|x| x.fract() == 0.0)
            {
                let exponent = self.number(x * y);
                return self.power(base, exponent);
            }
            if let Some([numerator, divisor]) = self.operands(Binary::Divide, a) {
                let (numerator, divisor) = (self.power(numerator, b), self.power(divisor, b));
                return self.divide(numerator, divisor);
            }
            if y % 2.0 == 0.0 {
                if let Some(inner) = self.operand(Unary::Sqrt, a) {
                    let half = self.number(0.5 * y);
                    return self.power(inner, half);
                }
                if let Some(inner) = self.operand(Unary::Abs, a) {
                    return self.power(inner, b);
                }
                if let Some(inner) = self.operand(Unary::Negate, a) {
                    return self.power(inner, b);
                }
            }
        }
        self.intern(node)
    }

    /// A function of two nodes.
    pub fn binary(&mut self, function: Binary, a: Id, b: Id) -> Id {
        match function {
            Binary::Add => self.add(a, b),
            Binary::Subtract => self.subtract(a, b),
            Binary::Multiply => self.multiply(a, b),
            Binary::Divide => self.divide(a, b),
            Binary::Power => self.power(a, b),
            Binary::Min | Binary::Max => {
                if a == b {
                    return a;
                }
                let [a, b] = [a.min(b), a.max(b)];
                let node = Node::Binary(function, [a, b]);
                match (self.value(a), self.value(b)) {
                    (Some(x), Some(y)) => self.folded(binary_value(function, x, y), node),
                    _ => self.intern(node),
                }
            }
        }
    }

    /// `if a ? b { c } else { d }`
    pub fn select(&mut self, comparison: Comparison, [a, b, c, d]: [Id; 4]) -> Id {
        if c == d {
            return c;
        }
        if let (Some(x), Some(y)) = (self.value(a), self.value(b)) {
            return if comparison.holds(x, y) { c } else { d };
        }
        self.intern(Node::Select(comparison, [a, b, c, d]))
    }

    /// The nodes that the outputs are made of, each after its operands.
    pub fn live(&self, outputs: &[Id]) -> Vec<Id> {
        let mut is_live = vec![false; self.nodes.len()];
        for output in outputs {
            is_live[output.index()] = true;
        }
        // The operands of a node come before it.
        for index in (0..self.nodes.len()).rev() {
            if is_live[index] {
                for operand in self.nodes[index].operands() {
                    is_live[operand.index()] = true;
                }
            }
        }
        (0..self.nodes.len() as u32).map(Id).filter(|id| is_live[id.index()]).collect()
    }
}

impl Comparison {
    /// Whether it holds.
    #[inline(always)]
    pub fn holds<R: PartialOrd>(self, a: R, b: R) -> bool {
        match self {
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Equal => a == b,
        }
    }
}

/// A sum as a constant and multiples of other terms.
#[derive(Default)]
struct Sum {
    constant: f64,
    /// Each term with its factor.
    terms: Vec<(f64, Id)>,
}

impl Sum {
    fn take(&mut self, graph: &Graph, factor: f64, x: Id) {
        match graph.node(x) {
            Node::Number(bits) => self.constant += factor * f64::from_bits(bits),
            // The chain of a sum is as long as the sum, which is limited like every expression.
            Node::Binary(Binary::Add, [a, b]) => {
                self.take(graph, factor, a);
                self.take(graph, factor, b);
            }
            Node::Binary(Binary::Subtract, [a, b]) => {
                self.take(graph, factor, a);
                self.take(graph, -factor, b);
            }
            Node::Unary(Unary::Negate, x) => self.take(graph, -factor, x),
            _ => {
                let (coefficient, rest) = graph.coefficient(x);
                let factor = factor * coefficient;
                match self.terms.iter_mut().find(|(_, known)| *known == rest) {
                    Some((known, _)) => *known += factor,
                    None => self.terms.push((factor, rest)),
                }
            }
        }
    }

    fn node(mut self, graph: &mut Graph) -> Id {
        self.terms.retain(|(factor, _)| *factor != 0.0);
        self.merge_silu(graph);
        if let [(factor, x)] = self.terms[..] {
            if self.constant == 0.0 {
                return graph.scaled(factor, x);
            }
            // c ± c·x
            if factor.abs() == self.constant.abs()
                && let Some(node) = graph.one_plus(factor / self.constant, x)
            {
                return graph.scaled(self.constant, node);
            }
        }
        if let Some(node) = self.over_common_divisor(graph) {
            return node;
        }
        if self.constant == 0.0
            && let Some(product) = self.common_factor(graph)
        {
            return product;
        }
        self.terms.sort_by_key(|(_, term)| *term);
        // The first summand is positive if one is.
        let mut sum =
            (self.constant != 0.0 || self.terms.is_empty()).then(|| graph.number(self.constant));
        if sum.is_none()
            && let Some(place) = self.terms.iter().position(|(factor, _)| *factor > 0.0)
        {
            let (factor, term) = self.terms.remove(place);
            sum = Some(graph.scaled(factor, term));
        }
        for (factor, term) in self.terms {
            sum = Some(match sum {
                None => graph.scaled(factor, term),
                Some(sum) => {
                    let function = if factor > 0.0 { Binary::Add } else { Binary::Subtract };
                    let term = graph.scaled(factor.abs(), term);
                    graph.intern(Node::Binary(function, [sum, term]))
                }
            });
        }
        sum.unwrap_or_else(|| graph.number(0.0))
    }

    /// `σ(u) + u·σ'(u)` as one function.
    fn merge_silu(&mut self, graph: &mut Graph) {
        for place in 0..self.terms.len() {
            let (factor, term) = self.terms[place];
            let Some(u) = graph.operand(Unary::Sigmoid, term) else { continue };
            let slope = graph.unary(Unary::SigmoidSlope, u);
            let product = graph.multiply(u, slope);
            let (coefficient, rest) = graph.coefficient(product);
            let is_other = |&(known, term): &(f64, Id)| {
                term == rest && (known - factor * coefficient).abs() <= 1e-12 * known.abs()
            };
            if let Some(other) = self.terms.iter().position(is_other) {
                self.terms[place].1 = graph.unary(Unary::SiluSlope, u);
                self.terms.remove(other);
                return;
            }
        }
    }

    /// `c + k·(n / d)` as `(c·d + k·n) / d`, if the numerator is then a number or a name.
    fn over_common_divisor(&self, graph: &mut Graph) -> Option<Id> {
        let [(factor, quotient)] = self.terms[..] else { return None };
        let [numerator, divisor] = graph.operands(Binary::Divide, quotient)?;
        let whole = graph.scaled(self.constant, divisor);
        let numerator = graph.scaled(factor, numerator);
        let sum = graph.add(whole, numerator);
        let is_leaf = graph.node(sum).operands().next().is_none();
        is_leaf.then(|| graph.divide(sum, divisor))
    }

    /// `a·x + a·y` as `a·(x + y)`.
    fn common_factor(&self, graph: &mut Graph) -> Option<Id> {
        let [(first, term), rest @ ..] = &self.terms[..] else { return None };
        if rest.is_empty() {
            return None;
        }
        let factors = |graph: &mut Graph, term: Id| {
            let mut product = Product { coefficient: 1.0, factors: Vec::new() };
            product.take(graph, term);
            product
        };
        let mut common = factors(graph, *term);
        for (_, term) in rest {
            let other = factors(graph, *term);
            for (factor, exponent) in &mut common.factors {
                let found = other.factors.iter().find(|(known, _)| known == factor);
                *exponent = found.map_or(0.0, |(_, found)| found.min(*exponent));
            }
        }
        common.factors.retain(|(_, exponent)| *exponent > 0.0);
        let size = first.abs();
        let scale = if rest.iter().all(|(factor, _)| factor.abs() == size) { size } else { 1.0 };
        if common.factors.is_empty() && scale == 1.0 {
            return None;
        }
        let mut sum = Self::default();
        for (factor, term) in &self.terms {
            let mut product = factors(graph, *term);
            for (shared, exponent) in &common.factors {
                product.raise(*shared, -exponent);
            }
            product.factors.retain(|(_, exponent)| *exponent != 0.0);
            let term = product.node(graph);
            sum.take(graph, factor / scale, term);
        }
        common.coefficient = scale;
        let (common, sum) = (common.node(graph), sum.node(graph));
        Some(graph.multiply(common, sum))
    }
}

/// A product as a constant and the powers of other factors.
struct Product {
    coefficient: f64,
    /// Each factor with its exponent, a positive integer.
    factors: Vec<(Id, f64)>,
}

impl Product {
    fn take(&mut self, graph: &mut Graph, x: Id) {
        match graph.node(x) {
            Node::Number(bits) => self.coefficient *= f64::from_bits(bits),
            Node::Unary(Unary::Negate, inner) => {
                self.coefficient = -self.coefficient;
                self.take(graph, inner);
            }
            // The chain of a product is as long as the product, which is limited like every expression.
            Node::Binary(Binary::Multiply, [a, b]) => {
                self.take(graph, a);
                self.take(graph, b);
            }
            Node::Binary(Binary::Power, [base, exponent]) => match graph.value(exponent) {
                Some(exponent) if exponent > 0.0 && exponent.fract() == 0.0 => {
                    self.raise(base, exponent);
                }
                _ => self.raise(x, 1.0),
            },
            _ => self.raise(x, 1.0),
        }
    }

    fn raise(&mut self, factor: Id, exponent: f64) {
        match self.factors.iter_mut().find(|(known, _)| *known == factor) {
            Some((_, known)) => *known += exponent,
            None => self.factors.push((factor, exponent)),
        }
    }

    fn node(mut self, graph: &mut Graph) -> Id {
        if self.coefficient == 0.0 {
            return graph.number(0.0);
        }
        self.merge_sigmoids(graph);
        self.merge_signs(graph);
        self.merge_quotients(graph);
        self.factors.sort_by_key(|(factor, _)| *factor);
        let mut product = None;
        for (factor, exponent) in self.factors {
            let exponent = graph.number(exponent);
            let power = graph.power(factor, exponent);
            product = Some(match product {
                None => power,
                Some(product) => graph.intern(Node::Binary(Binary::Multiply, [product, power])),
            });
        }
        let Some(product) = product else { return graph.number(self.coefficient) };
        match self.coefficient {
            1.0 => product,
            -1.0 => graph.intern(Node::Unary(Unary::Negate, product)),
            coefficient => {
                let coefficient = graph.number(coefficient);
                graph.intern(Node::Binary(Binary::Multiply, [coefficient, product]))
            }
        }
    }

    /// `σ(x)·σ(−x)` as one function.
    fn merge_sigmoids(&mut self, graph: &mut Graph) {
        let logits: Vec<(Id, Id)> = self
            .factors
            .iter()
            .filter_map(|&(factor, _)| Some((factor, graph.operand(Unary::Sigmoid, factor)?)))
            .collect();
        for &(factor, x) in &logits {
            let opposite = graph.negate(x);
            let Some(&(other, _)) = logits.iter().find(|(_, y)| *y == opposite) else { continue };
            let exponent = |id: Id| {
                self.factors.iter().find(|(known, _)| *known == id).map_or(0.0, |known| known.1)
            };
            let common = exponent(factor).min(exponent(other));
            if common > 0.0 && factor < other {
                self.raise(factor, -common);
                self.raise(other, -common);
                let slope = graph.unary(Unary::SigmoidSlope, x);
                self.raise(slope, common);
            }
        }
        self.factors.retain(|(_, exponent)| *exponent != 0.0);
    }

    /// `x·sign(x)` as |x|, and `relu(x)·step(x)` as relu(x).
    fn merge_signs(&mut self, graph: &mut Graph) {
        for place in 0..self.factors.len() {
            let (factor, exponent) = self.factors[place];
            let (other, merged) = match graph.node(factor) {
                Node::Unary(Unary::Sign, x) if exponent == 1.0 => (x, graph.unary(Unary::Abs, x)),
                Node::Unary(Unary::Step, x) => {
                    let relu = graph.unary(Unary::Relu, x);
                    (relu, relu)
                }
                _ => continue,
            };
            if self.factors.iter().any(|&(known, exponent)| known == other && exponent >= 1.0) {
                self.factors.remove(place);
                self.raise(other, -1.0);
                self.raise(merged, 1.0);
                self.factors.retain(|(_, exponent)| *exponent != 0.0);
                return;
            }
        }
    }

    /// `(1 / b)·a` as `a / b`.
    fn merge_quotients(&mut self, graph: &mut Graph) {
        let quotient = self.factors.iter().position(|&(factor, exponent)| {
            exponent == 1.0 && graph.operands(Binary::Divide, factor).is_some()
        });
        let Some(place) = quotient.filter(|_| self.factors.len() > 1) else { return };
        let (factor, _) = self.factors.remove(place);
        let Some([numerator, divisor]) = graph.operands(Binary::Divide, factor) else { return };
        let rest = Self { coefficient: 1.0, factors: std::mem::take(&mut self.factors) };
        let rest = rest.node(graph);
        let numerator = graph.multiply(numerator, rest);
        let quotient = graph.divide(numerator, divisor);
        self.take(graph, quotient);
    }
}

//! Two novels as a sequence of words: see data/README.md.

use std::collections::HashMap;

/// The number of words before the one to predict.
pub const CONTEXT: usize = 5;

const NOVELS: &str = include_str!("data/austen.txt");

/// A text as the numbers of its words.
pub struct Text {
    /// The whole text; the vocabulary is numbered from 0.
    words: Vec<i32>,
    /// The number of occurrences of each word of the vocabulary in the training part.
    pub counts: Vec<usize>,
    /// The start of the held-out part.
    split: usize,
}

/// Words to predict, each after its context.
pub struct Batch {
    /// [B, CONTEXT]
    pub contexts: Vec<i32>,
    /// [B]
    pub words: Vec<i32>,
}

impl Text {
    /// Loads the novels; the last 5 % are held out.
    pub fn load() -> Self {
        let mut numbers = HashMap::new();
        let number = |word| {
            let next = numbers.len();
            *numbers.entry(word).or_insert(next) as i32
        };
        let words: Vec<i32> = tokens(NOVELS).map(number).collect();
        let split = words.len() - words.len() / 20;
        let mut counts = vec![0; numbers.len()];
        words[..split].iter().for_each(|&word| counts[word as usize] += 1);
        Self { words, counts, split }
    }

    /// The number of words in the training part and in the held-out part.
    pub fn len(&self) -> (usize, usize) {
        (self.split, self.words.len() - self.split)
    }

    pub fn vocabulary(&self) -> usize {
        self.counts.len()
    }

    /// Words of the training part, drawn at random.
    pub fn sample(&self, size: usize, random: &mut fastrand::Rng) -> Batch {
        self.batch((0..size).map(|_| random.usize(CONTEXT..self.split)))
    }

    /// The held-out part in batches of at most this size.
    pub fn held_out(&self, size: usize) -> impl Iterator<Item = Batch> {
        let end = self.words.len();
        let starts = (self.split..end).step_by(size);
        starts.map(move |start| self.batch(start..end.min(start.saturating_add(size))))
    }

    fn batch(&self, places: impl Iterator<Item = usize>) -> Batch {
        let mut batch = Batch { contexts: Vec::new(), words: Vec::new() };
        for place in places {
            batch.contexts.extend_from_slice(&self.words[place - CONTEXT..place]);
            batch.words.push(self.words[place]);
        }
        batch
    }
}

/// Splits a text into words ("to-morrow" and "lady's" are one word each), dashes ("--"), and single other marks.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let length = match first {
            _ if first.is_alphanumeric() => word_length(rest),
            '-' if rest.starts_with("--") => 2,
            mark => mark.len_utf8(),
        };
        let token;
        (token, rest) = rest.split_at(length);
        Some(token)
    })
}

/// The number of bytes of the word at the start of a text: letters and digits, with single hyphens and
/// apostrophes between them.
fn word_length(text: &str) -> usize {
    let mut end = 0;
    for (place, character) in text.char_indices() {
        let joins = matches!(character, '-' | '\'') && place == end;
        if character.is_alphanumeric() {
            end = place + character.len_utf8();
        } else if !joins {
            break;
        }
    }
    end
}

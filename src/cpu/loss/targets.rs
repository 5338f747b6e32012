//! The targets of a loss, row by row.

use wgrad_formula::formulas::losses::times;

/// Values that are spread over rows: the value for row r and column c is at r·row + c·column.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Strided<'a> {
    pub(in crate::cpu) values: &'a [f32],
    pub(in crate::cpu) row: usize,
    pub(in crate::cpu) column: usize,
}

impl<'a> Strided<'a> {
    /// The values for the elements of a row, from `start` on. They are copied to the scratch
    /// memory if they are not contiguous.
    fn block(&self, row: usize, start: usize, scratch: &'a mut [f32]) -> &'a [f32] {
        let first = row * self.row + start * self.column;
        match self.column {
            1 => &self.values[first..first + scratch.len()],
            0 => {
                scratch.fill(self.values[first]);
                scratch
            }
            step => {
                let values = self.values[first..].iter().step_by(step);
                scratch.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
                scratch
            }
        }
    }
}

#[derive(Clone, Copy)]
pub(in crate::cpu) enum TargetValues<'a> {
    Dense(&'a [f32]),
    Labels(&'a [i32]),
}

/// The targets of a loss for rows of `width` outputs, with their weights and options.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Targets<'a> {
    pub(in crate::cpu) values: TargetValues<'a>,
    pub(in crate::cpu) width: usize,
    pub(in crate::cpu) smoothing: f32,
    pub(in crate::cpu) ignore_index: Option<i32>,
    pub(in crate::cpu) weights: Option<Strided<'a>>,
    pub(in crate::cpu) class_weights: Option<&'a [f32]>,
    pub(in crate::cpu) extra: Option<Strided<'a>>,
}

impl<'a> Targets<'a> {
    /// The targets of one row; `None` if it is ignored.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> Option<TargetRow<'a>> {
        let values = match self.values {
            TargetValues::Dense(values) => {
                let start = row * self.width;
                RowValues::Dense(&values[start..values.len().min(start + self.width)])
            }
            TargetValues::Labels(_) if self.ignores(row) => return None,
            TargetValues::Labels(labels) => RowValues::Label(labels[row] as usize),
        };
        let share = self.smoothing / self.width as f32;
        let class_weights = self.class_weights;
        Some(TargetRow { values, keep: 1.0 - self.smoothing, share, class_weights })
    }

    /// Whether the row is ignored.
    #[inline(always)]
    pub(in crate::cpu) fn ignores(&self, row: usize) -> bool {
        match self.values {
            TargetValues::Dense(_) => false,
            TargetValues::Labels(labels) => Some(labels[row]) == self.ignore_index,
        }
    }

    /// The targets for rows of this width, each as long as several of the original ones, if the
    /// elements are independent of each other.
    pub(in crate::cpu) fn widened(self, width: usize) -> Self {
        let widened = |strided: Strided<'a>| Strided {
            row: if strided.row == 0 { 0 } else { width },
            ..strided
        };
        Self { width, weights: self.weights.map(widened), extra: self.extra.map(widened), ..self }
    }

    /// Whether each row has a label and no share for other classes.
    pub(super) fn are_single_labels(&self) -> bool {
        matches!(self.values, TargetValues::Labels(_)) && self.smoothing == 0.0
    }

    /// Whether each row has a label.
    pub(super) fn are_labels(&self) -> bool {
        matches!(self.values, TargetValues::Labels(_))
    }

    /// The weight of a row.
    pub(super) fn row_weight(&self, row: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights.values[row * weights.row])
    }

    pub(super) fn weights(
        &self,
        row: usize,
        start: usize,
        scratch: &'a mut [f32],
    ) -> Option<&'a [f32]> {
        self.weights.map(|weights| weights.block(row, start, scratch))
    }

    /// The label of a row that is compared only with the output of its label.
    pub(super) fn single_label(&self, target: TargetRow<'_>) -> Option<usize> {
        target.label().filter(|_| self.are_single_labels())
    }

    /// The weights of a row's terms; 0 for terms other than the label's, if the row is compared
    /// only with the output of its label.
    pub(super) fn weights_of_terms(
        &self,
        row: usize,
        target: TargetRow<'_>,
        start: usize,
        scratch: &'a mut [f32],
    ) -> Option<&'a [f32]> {
        let Some(label) = self.single_label(target) else {
            return self.weights(row, start, scratch);
        };
        self.weights?;
        scratch.fill(0.0);
        if let Some(weight) = label.checked_sub(start).and_then(|i| scratch.get_mut(i)) {
            *weight = self.row_weight(row);
        }
        Some(scratch)
    }

    /// The extra input of each element, or the scratch memory, which holds ones, if there is none.
    pub(super) fn extra(&self, row: usize, start: usize, ones: &'a mut [f32]) -> &'a [f32] {
        match &self.extra {
            Some(extra) => extra.block(row, start, ones),
            None => ones,
        }
    }
}

/// The targets of one row, smoothed and multiplied by the class weights.
#[derive(Clone, Copy)]
pub(super) struct TargetRow<'a> {
    values: RowValues<'a>,
    keep: f32,
    share: f32,
    class_weights: Option<&'a [f32]>,
}

#[derive(Clone, Copy)]
enum RowValues<'a> {
    Dense(&'a [f32]),
    Label(usize),
}

impl<'a> TargetRow<'a> {
    #[inline(always)]
    pub(super) fn at(&self, column: usize) -> f32 {
        match self.values {
            RowValues::Label(label) if label == column => {
                (self.share + self.keep) * self.class_weight(column)
            }
            _ => self.base(column),
        }
    }

    /// The target of a column as if it were not the label.
    #[inline(always)]
    pub(super) fn base(&self, column: usize) -> f32 {
        let target = match self.values {
            RowValues::Dense(values) if self.keep == 1.0 => values[column],
            RowValues::Dense(values) => self.keep * values[column] + self.share,
            RowValues::Label(_) => self.share,
        };
        times(target, self.class_weight(column))
    }

    #[inline(always)]
    fn class_weight(&self, class: usize) -> f32 {
        self.class_weights.map_or(1.0, |weights| weights[class])
    }

    pub(super) fn label(&self) -> Option<usize> {
        match self.values {
            RowValues::Label(label) => Some(label),
            RowValues::Dense(_) => None,
        }
    }

    /// The weight of the row's label; 1 for dense targets.
    pub(super) fn label_weight(&self) -> f32 {
        self.label().map_or(1.0, |label| self.class_weight(label))
    }

    /// The sum of the row's targets, if it is known without adding them up.
    pub(super) fn known_mass(&self) -> Option<f32> {
        match (self.values, self.class_weights) {
            (RowValues::Label(_), None) => Some(1.0),
            _ => None,
        }
    }

    /// The targets from `start` on.
    pub(super) fn block(&self, start: usize, scratch: &'a mut [f32]) -> &'a [f32] {
        if let (RowValues::Dense(values), true, None) =
            (self.values, self.keep == 1.0, self.class_weights)
        {
            return &values[start..start + scratch.len()];
        }
        scratch.iter_mut().enumerate().for_each(|(i, target)| *target = self.at(start + i));
        scratch
    }
}

//! The parameters that a kernel is dispatched with: structs that match `struct Parameters` of its WGSL.

/// A field of the parameters, as WGSL lays it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) offset: usize,
    pub(super) scalar: Scalar,
}

/// The types of the fields. Each is four bytes long, so no field has padding before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    U32,
    I32,
    F32,
}

/// The fields in order. The test of all kernels compares them with those that naga reads from the WGSL.
pub(super) type Layout = &'static [Field];

pub(super) trait Parameters: bytemuck::Pod {
    const LAYOUT: Layout;
}

/// Defines the parameters of a kernel. Its WGSL says what they mean.
macro_rules! parameters {
    ( $(#[$meta:meta])* struct $Name:ident { $( $field:ident: $Type:ident, )+ } ) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        pub(super) struct $Name {
            $( $field: $Type, )+
        }

        impl $crate::gpu::parameters::Parameters for $Name {
            const LAYOUT: $crate::gpu::parameters::Layout = &[
                $( $crate::gpu::parameters::Field {
                    name: stringify!($field),
                    offset: std::mem::offset_of!($Name, $field),
                    scalar: $crate::gpu::parameters::parameters!(@scalar $Type),
                }, )+
            ];
        }
    };
    (@scalar u32) => { $crate::gpu::parameters::Scalar::U32 };
    (@scalar i32) => { $crate::gpu::parameters::Scalar::I32 };
    (@scalar f32) => { $crate::gpu::parameters::Scalar::F32 };
}

pub(super) use parameters;

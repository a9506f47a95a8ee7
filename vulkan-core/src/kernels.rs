//! The kernels, as SPIR-V. `shaders/` has their sources; `cargo xtask shaders` compiles them.

/// How many buffers a kernel sees at most.
pub(crate) const MAX_BINDINGS: usize = 8;

/// Room for a kernel's arguments, which every device has.
pub(crate) const PUSH_BYTES: u32 = 128;

macro_rules! modules {
    ($($name:ident $file:literal $bindings:literal $about:literal;)*) => {
        /// A compiled source.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Module {
            $(#[doc = $about] $name,)*
        }

        impl Module {
            #[cfg(test)]
            pub(crate) const ALL: &[(Module, &'static str)] = &[$((Module::$name, $file),)*];

            /// The code.
            pub(crate) fn spirv(self) -> &'static [u8] {
                match self {
                    $(Module::$name => include_bytes!(concat!("../spirv/", $file, ".spv")),)*
                }
            }

            /// Whether its groups are one full subgroup each.
            pub(crate) fn is_subgroup(self) -> bool {
                self == Module::MatmulSubgroup
            }

            /// How many buffers it sees.
            pub(crate) fn bindings(self) -> usize {
                match self {
                    $(Module::$name => $bindings,)*
                }
            }
        }
    };
}

modules! {
    Unary "unary" 2 "A short function of each element, as a float.";
    Exp "exp" 2 "e to the power of each element.";
    Log "log" 2 "The natural logarithm of each element.";
    Sin "sin" 2 "The sine of each element.";
    Cos "cos" 2 "The cosine of each element.";
    Tanh "tanh" 2 "The hyperbolic tangent of each element.";
    Sigmoid "sigmoid" 2 "1 / (1 + e^-x) of each element.";
    Gelu "gelu" 2 "x times the normal distribution's part below it.";
    GeluTanh "gelu_tanh" 2 "The same by a hyperbolic tangent.";
    Silu "silu" 2 "x times its sigmoid.";
    UnaryInt "unary_int" 2 "A function of each integer.";
    Binary "binary" 3 "A short function of two elements, as floats.";
    Pow "pow" 3 "One element to the power of another.";
    BinaryInt "binary_int" 3 "A function of two integers.";
    Cast "cast" 2 "Each element as another type.";
    Copy "copy" 2 "Each element as it is.";
    Select "select" 4 "Of two elements the one that a third says.";
    Fill "fill" 1 "The same element everywhere, or numbers that go up.";
    Reduce "reduce" 4 "One float out of many, for each row.";
    ReduceInt "reduce_int" 4 "One integer out of many, for each row.";
    Matmul "matmul" 5 "Products of matrices, by tiles in registers.";
    MatmulShared "matmul_shared" 5 "Products of matrices, by tiles in shared memory.";
    MatmulSubgroup "matmul_subgroup" 5 "Products of matrices, by tiles in a subgroup's registers.";
    Dot "dot" 5 "Products of matrices, each element by itself.";
    MultiplyAdd "multiply_add" 1 "Nothing but multiplications and additions.";
    Random "random" 3 "Random numbers by their place, and dropout.";
    Take "take" 5 "Elements by their indices.";
    Scatter "scatter" 5 "Floats added where indices lead, which are all looked at.";
    ScatterInt "scatter_int" 5 "Integers added where indices lead.";
    ScatterLists "scatter_lists" 5 "Floats added where indices lead, by lists.";
    ScatterListsInt "scatter_lists_int" 5 "Integers added where indices lead, by lists.";
    Segments "segments" 3 "Lists of equal indices.";
    Sgd "sgd" 4 "A step of stochastic gradient descent.";
    Adam "adam" 6 "A step of Adam or AdamW.";
    Backward "backward" 3 "The gradient of a short function of one element.";
    SinBackward "sin_backward" 3 "The gradient of the sine.";
    CosBackward "cos_backward" 3 "The gradient of the cosine.";
    SiluBackward "silu_backward" 3 "The gradient of x times its sigmoid.";
    GeluBackward "gelu_backward" 3 "The gradient of x times the normal distribution's part below it.";
    GeluTanhBackward "gelu_tanh_backward" 3 "The gradient of the same by a hyperbolic tangent.";
    BackwardTwo "backward_two" 4 "The gradient of a short function of two elements.";
    PowBackward "pow_backward" 4 "The gradient of a power, for its base.";
    ExponentBackward "exponent_backward" 4 "The gradient of a power, for its exponent.";
    Softmax "softmax" 4 "Softmax, its logarithm, and their gradients.";
    SoftmaxGroup "softmax_group" 4 "The same, each row by a group with shared memory.";
    Loss "loss" 8 "Losses of rows over classes, and their gradients.";
    LossGroup "loss_group" 8 "The same, each row by a group with shared memory.";
    Norm "norm" 7 "Rows less their mean over their deviation, and the gradient for them.";
    NormGroup "norm_group" 7 "The same, each row by a group with shared memory.";
    NormColumns "norm_columns" 4 "The gradients for the weight and bias of a norm.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_modules_is_the_list_of_sources() {
        let list = include_str!("../shaders/modules.txt");
        let listed: Vec<&str> = list
            .lines()
            .filter(|l| !l.starts_with('#'))
            .filter_map(|l| l.split_whitespace().next())
            .collect();
        let known: Vec<&str> = Module::ALL.iter().map(|(_, file)| *file).collect();
        assert_eq!(listed, known);
    }

    /// What a device with the least limits can take, and a library may weigh.
    #[test]
    fn modules_are_few_and_small() {
        assert!(Module::ALL.len() <= 150);
        let bytes: usize = Module::ALL.iter().map(|(module, _)| module.spirv().len()).sum();
        assert!(bytes <= 3_000_000, "{bytes}");
        for &(module, file) in Module::ALL {
            let code = module.spirv();
            assert_eq!(code.get(..4), Some(&0x0723_0203_u32.to_le_bytes()[..]), "{file}");
            assert!((1..=MAX_BINDINGS).contains(&module.bindings()), "{file}");
        }
    }
}

"""How commands take their options."""

from typing import Any

from typer.core import TyperCommand

from lam_engines.errors import InputError


class Command(TyperCommand):
    """A command that refuses an option that is given twice, of which Click would take the last and forget the first."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments.

        Raises:
            InputError: an option that takes one value is given twice.
        """
        texts = any(parameter.nargs == -1 for parameter in self.params)
        try:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        except Exception as error:  # Click's, or that of a Click that typer carries
            if texts and hasattr(error, "option_name"):
                said = error.format_message()  # type: ignore[attr-defined]
                error.message = f"{said.removesuffix('.')}. A text that begins with - goes after --."  # type: ignore[attr-defined]
            raise
        once: list[Any] = []
        option: Any
        for option in order:
            if option.param_type_name != "option" or option.multiple or option.is_flag or option.count:
                continue
            if option in once:
                raise InputError(
                    f"expected {max(option.opts, key=len)} once, found it twice: only one of its values could count; "
                    f"leave the other out"
                )
            once.append(option)
        return super().parse_args(ctx, args)

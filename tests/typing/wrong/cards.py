"""Uses of cards that are wrong, and that type checkers know to be."""

from cadenza import cards

cards.TextBlock(txt="x", text="x")  # error
cards.TextBlock()  # error
cards.TextBlock(text="x", size="Largee")  # error
cards.TextBlock(text=3)  # error
cards.AdaptiveCard(body=[cards.ActionSubmit()])  # error
cards.AdaptiveCard(actions=[cards.TextBlock(text="x")])  # error
cards.ColumnSet(columns=[cards.TextBlock(text="x")])  # error
cards.TextBlock(text="x").txt = "y"  # error
cards.OpenDialogData()  # error

"""The one exception of the generator: something in a contract that a person has to change."""


class ContractError(Exception):
    """Says where (file, message or call, field), what is wrong and what to do."""

    def __init__(self, where, what, todo):
        super().__init__(f"{where}: {what}. {todo}")

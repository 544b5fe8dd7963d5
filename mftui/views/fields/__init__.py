"""The form's fields: what each takes, how it is stepped and edited, and the list that shows them."""
